#pragma once

#include "server/runtime/config_table.hpp"

/// What the texts of the configuration may look like.
namespace pam::runtime::forms {

extern const text_form base_url;       ///< scheme, host, port and path, no slash at the end
extern const text_form collector;      ///< empty or a base_url
extern const text_form https_service;  ///< empty or a base_url with https
extern const text_form origin;         ///< scheme, host and port (RFC 6454), or "*"
extern const text_form path_prefix;    ///< empty or a path
extern const text_form ip_address;
extern const text_form host;          ///< empty, a name, an address or a directory
extern const text_form network;       ///< in CIDR notation
extern const text_form oauth_client;  ///< id and hash of a client's secret
extern const text_form word;          ///< 1 to 255 visible characters
extern const text_form socket_path;   ///< empty or an absolute path of at most 96 bytes

}  // namespace pam::runtime::forms

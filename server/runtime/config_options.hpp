#pragma once

#include <cstdint>
#include <vector>

#include "server/runtime/config_table.hpp"

/// The rows of the table, by what they are about. Each function appends the keys of one or a few sections, in
/// the order of `config_sections()`.
namespace pam::runtime {

/// Limits of durations are in milliseconds.
inline constexpr std::int64_t second = 1'000;
inline constexpr std::int64_t minute = 60 * second;
inline constexpr std::int64_t hour = 60 * minute;
inline constexpr std::int64_t day = 24 * hour;
inline constexpr std::int64_t kib = 1'024;
inline constexpr std::int64_t mib = 1'024 * kib;

// The server and its clients (config_options_server.cpp).
void add_server(std::vector<option>& out, configuration& c);
void add_listen(std::vector<option>& out, configuration& c);
void add_limits(std::vector<option>& out, configuration& c);
void add_admission(std::vector<option>& out, configuration& c);
void add_log(std::vector<option>& out, configuration& c);
void add_tracing(std::vector<option>& out, configuration& c);

// The database and its schema (config_options_database.cpp).
void add_database(std::vector<option>& out, configuration& c);
void add_pools(std::vector<option>& out, configuration& c);
void add_migrate(std::vector<option>& out, configuration& c);
void add_maintain(std::vector<option>& out, configuration& c);

// Who may do what (config_options_accounts.cpp).
void add_keys(std::vector<option>& out, configuration& c);
void add_tokens(std::vector<option>& out, configuration& c);
void add_accounts(std::vector<option>& out, configuration& c);

}  // namespace pam::runtime

#pragma once

#include <filesystem>
#include <string>

#include "server/net/config.hpp"

namespace pam::net::test {

/// A folder of its own that is removed with the object.
class temporary_folder {
 public:
  temporary_folder();
  ~temporary_folder();
  temporary_folder(const temporary_folder&) = delete;
  temporary_folder& operator=(const temporary_folder&) = delete;

  [[nodiscard]] std::string file(const std::string& name) const { return (path_ / name).string(); }
  /// Writes a file and returns its path.
  std::string write(const std::string& name, const std::string& content) const;

 private:
  std::filesystem::path path_;
};

/// Makes a self-signed P-256 certificate for `common_name` and its key as `<name>.crt` and `<name>.key`.
/// @param begins, ends  seconds from now
tls_config make_certificate(const temporary_folder& folder, const std::string& name,
                            const std::string& common_name, long begins = -60, long ends = 3600);

}  // namespace pam::net::test

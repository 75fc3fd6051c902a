#pragma once

#include <string>
#include <string_view>

#include <boost/system/result.hpp>

namespace pam::cli {

/// Why a file could not be written, for people: names the file and the system's reason.
struct file_error {
  std::string message;
};

enum class if_exists { refuse, replace };

/// Writes a file of mode 0600, whole or not at all, durable when it returns: a temporary file in the same
/// folder, fsync, then link(2) (which never replaces) or rename(2), then fsync of the folder.
[[nodiscard]] boost::system::result<void, file_error> write_private_file(const std::string& path,
                                                                         std::string_view content,
                                                                         if_exists policy);

[[noreturn]] void throw_exception_from_error(const file_error& failure, const boost::source_location& where);

}  // namespace pam::cli

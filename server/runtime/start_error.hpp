#pragma once

#include <string>

#include <boost/system/result.hpp>

namespace pam::runtime {

/// Why a server could not start: one sentence with the cure.
struct start_error {
  std::string message;
};
[[noreturn]] void throw_exception_from_error(const start_error& failure, const boost::source_location& where);

}  // namespace pam::runtime

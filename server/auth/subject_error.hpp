#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include <boost/system/result.hpp>

namespace pam::auth {

/// Why an e-mail address or phone number cannot name an account.
enum class subject_fault : std::uint8_t {
  empty,     ///< nothing but white space
  too_long,  ///< more bytes or digits than the rules of the kind allow
  encoding,  ///< no valid UTF-8, or characters nobody can type or see
  syntax,    ///< not the form of the kind
  domain,    ///< the part after the @ is no domain name
};

/// `reason` is one sentence for the client; it never repeats the input.
struct subject_error {
  subject_fault fault = subject_fault::syntax;
  std::string_view reason;
};

[[noreturn]] inline void throw_exception_from_error(const subject_error& failure,
                                                    const boost::source_location& where) {
  throw std::logic_error("subject result without a value read at " + std::string{where.file_name()} + ": " +
                         std::string{failure.reason});
}

}  // namespace pam::auth

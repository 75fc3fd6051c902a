#pragma once

#include <string>

#include <boost/system/result.hpp>

#include "protocol/problem.hpp"

namespace pam::protocol {

/// Why a body, query or token was refused; becomes a problem with the same code.
struct decode_error {
  const error_code* code = &codes::bad_json;
  std::string detail;   ///< a sentence for the client; names members, never values
  std::string pointer;  ///< RFC 6901, empty when the whole body is meant
};

template <class T>
using decoded = boost::system::result<T, decode_error>;

/// The problem to answer: same code and detail; a pointer becomes the one entry of `errors`.
[[nodiscard]] problem to_problem(const decode_error& failure);

/// For boost::system::result: value() of a failed decode is a bug in the caller.
[[noreturn]] void throw_exception_from_error(const decode_error& failure,
                                             const boost::source_location& where);

}  // namespace pam::protocol

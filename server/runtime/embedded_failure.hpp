#pragma once

#include <string>
#include <string_view>

#include <boost/system/result.hpp>

namespace pam::runtime {

/// Why the database of `pam-auth dev` did not start: one sentence that also says what to do about it.
struct embedded_error {
  std::string sentence;
};

template <class T>
using embedded_result = boost::system::result<T, embedded_error>;

[[noreturn]] void throw_exception_from_error(const embedded_error& failure,
                                             const boost::source_location& where);

/// Turns what PostgreSQL or initdb wrote before it ended into one sentence with the cure. Pure.
/// @param log     its messages of this start only, in English (lc_messages=C)
/// @param folder  the data folder, for the sentence
[[nodiscard]] std::string explain_failure(std::string_view log, std::string_view folder);

}  // namespace pam::runtime

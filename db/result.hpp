#pragma once

#include <boost/system/result.hpp>

#include "db/error.hpp"

namespace pam::db {

/// A value or a database error. Never thrown: test `has_value()`.
template <class T>
using result = boost::system::result<T, error>;

[[noreturn]] void throw_exception_from_error(const error& failure, const boost::source_location& where);

}  // namespace pam::db

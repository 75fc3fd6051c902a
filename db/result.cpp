#include "db/result.hpp"

#include <stdexcept>
#include <string>

namespace pam::db {

void throw_exception_from_error(const error& failure, const boost::source_location& where) {
  throw std::logic_error(std::string{"unchecked database error at "} + where.file_name() + ":" +
                         std::to_string(where.line()) + ": " + std::string{to_string(failure.code)} + " " +
                         failure.sqlstate + " " + failure.detail);
}

}  // namespace pam::db

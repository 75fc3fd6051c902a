#include "server/cli/migration_error.hpp"

#include <stdexcept>

namespace pam::cli {

void throw_exception_from_error(const migration_error& failure, const boost::source_location& where) {
  throw std::logic_error(std::string{"unchecked migration error at "} + where.file_name() + ":" +
                         std::to_string(where.line()) + ": " + failure.sentence);
}

}  // namespace pam::cli

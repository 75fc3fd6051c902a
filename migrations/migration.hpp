#pragma once

#include <span>
#include <string_view>

namespace pam::migrations {

/// One numbered step of the schema, as it stands in `migrations/NNNN_name.{up,down,verify}.sql`.
struct migration {
  int version = 0;          ///< NNNN; versions count from 1 without a gap
  std::string_view name;    ///< the part after the number
  std::string_view up;      ///< with its header of directives, see server/cli/migration_directives.hpp
  std::string_view down;    ///< the way back, with a header of its own
  std::string_view verify;  ///< read-only; raises when a fact does not hold
};

/// Every migration this binary was built with, in order. Constant for the life of the program.
[[nodiscard]] std::span<const migration> embedded_migrations();

/// The version of the product these migrations were built with, e.g. "0.1.0".
[[nodiscard]] std::string_view build_version();

}  // namespace pam::migrations

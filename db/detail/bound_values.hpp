#pragma once

#include <array>

#include <libpq-fe.h>

#include "db/params.hpp"
#include "db/statement.hpp"

namespace pam::db::detail {

/// A statement's parameters as the arrays libpq wants. Points into `params`; libpq copies while sending.
struct bound_values {
  bound_values(const statement& what, const params& given) : count(static_cast<int>(given.size())) {
    for (std::size_t i = 0; i < given.size(); ++i) {
      types[i] = static_cast<Oid>(what.parameter_types[i]);
      if (given.is_null(i)) continue;
      const std::string_view value = given.value(i);
      values[i] = value.data();
      lengths[i] = static_cast<int>(value.size());
      formats[i] = given.is_binary(i) ? 1 : 0;
    }
  }
  int count;
  std::array<Oid, max_parameters> types{};
  std::array<const char*, max_parameters> values{};
  std::array<int, max_parameters> lengths{};
  std::array<int, max_parameters> formats{};
};

}  // namespace pam::db::detail

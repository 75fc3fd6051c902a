#pragma once

#include <string>

#include "db/params.hpp"

namespace pam::auth::detail {

/// An empty text is NULL in the database.
inline void add_or_null(db::params& values, const std::string& text) {
  if (text.empty()) {
    values.add_null();
  } else {
    values.add_text(text);
  }
}

}  // namespace pam::auth::detail

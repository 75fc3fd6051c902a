#pragma once

#include <cstdlib>

namespace pam::fuzz {

/// A property that must hold for every input; its failure is a crash, which libFuzzer reports and minimises.
inline void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace pam::fuzz

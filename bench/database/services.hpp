#pragma once

#include <filesystem>
#include <string>

#include "bench/database/caretaker.hpp"
#include "bench/database/plan.hpp"

namespace pam::bench {

/// Private servers by tests/support/services.sh, stopped with the object, or with the process when that is
/// interrupted or killed.
class services {
 public:
  /// Starts them, sized for a bench, and notes in `how` where they are. Call before there are threads.
  services(const std::string& script, plan& how);

 private:
  caretaker end_;
};

/// Reads the `env` file that services.sh wrote into `how`.
void read_services(const std::filesystem::path& env, plan& how);

}  // namespace pam::bench

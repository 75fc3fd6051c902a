#pragma once

#include <filesystem>
#include <string>

#include "bench/database/plan.hpp"

namespace pam::bench {

/// Private servers by tests/support/services.sh, stopped with the object.
class services {
 public:
  /// Starts them, sized for a bench, and notes in `how` where they are.
  services(std::string script, plan& how);
  ~services();
  services(const services&) = delete;
  services& operator=(const services&) = delete;

 private:
  void run(const char* verb) const;
  std::string script_;
  std::filesystem::path directory_;
};

/// Reads the `env` file that services.sh wrote into `how`.
void read_services(const std::filesystem::path& env, plan& how);

}  // namespace pam::bench

#include "bench/durable_refresh/reference.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>

#include <unistd.h>

#include <fmt/format.h>

namespace pam::bench {

namespace {

// The same statement; what pgbench cannot send as a parameter stands in it as a literal, which saves the
// reference work. Turning its numbers into ids costs less than a microsecond.
constexpr const char* script = R"(\set n random(0, :sessions - 1)
\set a :n / 2
UPDATE sessions SET refresh_token = decode('5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a', 'hex'), generation = generation + 1, refreshed_at = greatest(refreshed_at, statement_timestamp()), repeats = 0, expires_at = least(statement_timestamp() + interval '30 days', absolute_expires_at) WHERE account_id = lpad(:a::text, 32, '0')::uuid AND id = lpad(:n::text, 32, '0')::uuid AND refresh_token = decode('5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a', 'hex') AND generation >= 0 AND revoked_at IS NULL AND expires_at > statement_timestamp() AND EXISTS (SELECT 1 FROM accounts a WHERE a.id = lpad(:a::text, 32, '0')::uuid AND a.deleted_at IS NULL AND (a.banned_until IS NULL OR a.banned_until <= statement_timestamp())) RETURNING generation, expires_at;
)";

std::string output_of(const std::string& command) {
  struct close_pipe {
    void operator()(std::FILE* pipe) const { ::pclose(pipe); }
  };
  const std::unique_ptr<std::FILE, close_pipe> pipe{::popen(command.c_str(), "r")};
  if (!pipe) throw std::runtime_error("cannot run pgbench");
  std::string output;
  std::array<char, 4096> chunk{};
  while (std::fgets(chunk.data(), chunk.size(), pipe.get()) != nullptr) output += chunk.data();
  return output;
}

double rate_in(const std::string& output) {
  const auto at = output.find("tps = ");
  if (at == std::string::npos || output.find("number of failed transactions: 0 ") == std::string::npos) {
    throw std::runtime_error("pgbench failed:\n" + output);
  }
  return std::strtod(output.c_str() + at + 6, nullptr);
}

class script_file {
 public:
  script_file()
      : path_(std::filesystem::temp_directory_path() /
              fmt::format("pam_durable_refresh_{}.sql", ::getpid())) {
    std::ofstream{path_} << script;
  }
  ~script_file() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  script_file(const script_file&) = delete;
  script_file& operator=(const script_file&) = delete;
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace

std::vector<reference_sample> measure_reference(const plan& how, bool through_pooler) {
  const script_file file;
  std::vector<reference_sample> samples;
  for (const int clients : {1, 4, 16, 64}) {
    const checkpoint_in_the_middle checkpoint{how};
    const std::string command = fmt::format(
        "'{}/pgbench' -n -M {} -c {} -j {} -T {} -D sessions={} -f '{}' -h '{}' -p {} -U '{}' '{}' 2>&1",
        how.pg_bin, through_pooler ? "extended" : "prepared", clients, clients < 2 ? 1 : 2, how.seconds,
        how.sessions, file.path(), how.socket_dir, through_pooler ? how.pgbouncer_port : how.postgres_port,
        user_of(how, through_pooler), how.database);
    samples.push_back({clients, rate_in(output_of(command))});
  }
  return samples;
}

}  // namespace pam::bench

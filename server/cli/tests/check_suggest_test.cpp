#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/cli/check/suggest.hpp"
#include "server/cli/tests/repository_file.hpp"

namespace pam::cli::check {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr std::uint64_t gibibyte = std::uint64_t{1} << 30;

TEST(suggest, is_the_specification_on_the_machine_it_was_written_for) {
  EXPECT_THAT(suggest({16 * gibibyte, 8}),
              AllOf(HasSubstr("max_connections = 500 "), HasSubstr("shared_buffers = 4GB "),
                    HasSubstr("effective_cache_size = 12GB "), HasSubstr("maintenance_work_mem = 1GB "),
                    HasSubstr("checkpoint_completion_target = 0.9 "), HasSubstr("wal_buffers = 16MB "),
                    HasSubstr("default_statistics_target = 100 "), HasSubstr("random_page_cost = 1.1 "),
                    HasSubstr("effective_io_concurrency = 200 "), HasSubstr("work_mem = 5242kB "),
                    HasSubstr("min_wal_size = 1GB "), HasSubstr("max_wal_size = 4GB ")));
}

TEST(suggest, agrees_with_the_shipped_postgresql_conf) {
  const std::string text = suggest({16 * gibibyte, 8});
  std::size_t shared = 0;
  for (const auto& [name, value] : testing::settings_of("docker/postgres/phase1.conf")) {
    if (text.find("\n" + name + " = ") == std::string::npos) continue;
    ++shared;
    EXPECT_THAT(text, HasSubstr("\n" + name + " = " + value + " ")) << name;
  }
  EXPECT_GE(shared, 14U);
}

TEST(suggest, scales_with_memory_within_bounds) {
  EXPECT_THAT(suggest({2 * gibibyte, 2}),
              AllOf(HasSubstr("shared_buffers = 512MB "), HasSubstr("effective_cache_size = 1536MB "),
                    HasSubstr("maintenance_work_mem = 128MB "), HasSubstr("work_mem = 1MB "),
                    HasSubstr("max_wal_size = 1GB ")));
  EXPECT_THAT(suggest({256 * gibibyte, 64}),
              AllOf(HasSubstr("shared_buffers = 64GB "), HasSubstr("maintenance_work_mem = 2GB "),
                    HasSubstr("work_mem = 64MB "), HasSubstr("max_wal_size = 16GB ")));
}

TEST(suggest, has_huge_pages_for_all_shared_memory) {
  // 2,632 is what PostgreSQL 15 says of shared_buffers = 5GB (SHOW shared_memory_size_in_huge_pages).
  EXPECT_THAT(suggest({20 * gibibyte, 8}),
              AllOf(HasSubstr("shared_buffers = 5GB "), HasSubstr("huge_pages = try "),
                    HasSubstr("vm.nr_hugepages = 2672 ")));
  EXPECT_THAT(suggest({2 * gibibyte, 2}), HasSubstr("vm.nr_hugepages = 296 "));
}

TEST(suggest, scales_workers_and_the_pool_with_cores) {
  EXPECT_THAT(suggest({16 * gibibyte, 1}),
              AllOf(HasSubstr("and 1 core\n"), HasSubstr("max_worker_processes = 8 "),
                    HasSubstr("max_parallel_workers = 1 "), HasSubstr("default_pool_size = 8 ")));
  EXPECT_THAT(suggest({16 * gibibyte, 32}),
              AllOf(HasSubstr("max_worker_processes = 32 "),
                    HasSubstr("max_parallel_workers_per_gather = 4 "), HasSubstr("default_pool_size = 40 ")));
}

TEST(suggest, gives_every_value_a_reason) {
  const std::string text = suggest({16 * gibibyte, 8});
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    const std::string line = text.substr(begin, end - begin);
    EXPECT_TRUE(line.empty() || line.find("# ") != std::string::npos) << line;
    begin = end + 1;
  }
}

}  // namespace
}  // namespace pam::cli::check

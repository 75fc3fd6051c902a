#include "server/cli/keys_command.hpp"

#include <atomic>
#include <sstream>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "server/cli/command.hpp"
#include "server/cli/private_file.hpp"
#include "server/cli/tests/temporary_folder.hpp"

namespace pam::cli {
namespace {

using pam::cli::testing::temporary_folder;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

struct result {
  int status = 0;
  std::string out;
  std::string err;
};

result generate(const std::string& file, bool force = false,
                crypto::algorithm signing = crypto::algorithm::es256) {
  std::ostringstream out;
  std::ostringstream err;
  const int status = run_keys_generate(file, signing, force, out, err);
  return {status, out.str(), err.str()};
}

mode_t mode_of(const std::string& file) {
  struct stat found{};
  EXPECT_EQ(::stat(file.c_str(), &found), 0);
  return found.st_mode & 07777;
}

TEST(keys_command, a_generated_file_loads_and_only_its_owner_may_read_it) {
  const temporary_folder folder;
  const std::string file = folder.file("keys.json");
  const mode_t before = ::umask(0);

  const auto made = generate(file);
  ::umask(before);

  EXPECT_EQ(made.status, success) << made.err;
  EXPECT_EQ(mode_of(file), mode_t{0600});
  EXPECT_TRUE(crypto::key_ring::load(file).has_value());
  EXPECT_EQ(folder.entries(), 1U) << "a temporary file was left behind";
}

TEST(keys_command, every_algorithm_makes_a_file_that_loads) {
  const temporary_folder folder;
  int number = 0;
  for (const auto each : {crypto::algorithm::es256, crypto::algorithm::rs256, crypto::algorithm::eddsa,
                          crypto::algorithm::hs256}) {
    const std::string file = folder.file(std::to_string(++number));
    EXPECT_EQ(generate(file, false, each).status, success);
    EXPECT_TRUE(crypto::key_ring::load(file).has_value());
  }
}

TEST(keys_command, no_key_is_printed) {
  const temporary_folder folder;
  const auto made = generate(folder.file("keys.json"));

  EXPECT_THAT(made.out, AllOf(HasSubstr("keys.json"), Not(HasSubstr("\"d\""))));
  EXPECT_LT(made.out.size(), 300U);
}

TEST(keys_command, an_existing_file_stays_as_it_is_without_force) {
  const temporary_folder folder;
  const std::string file = folder.write("keys.json", "precious");

  const auto made = generate(file);

  EXPECT_EQ(made.status, failure);
  EXPECT_THAT(made.err, AllOf(HasSubstr(file), HasSubstr("--force")));
  EXPECT_EQ(folder.read("keys.json"), "precious");
  EXPECT_EQ(folder.entries(), 1U);
}

TEST(keys_command, force_replaces_the_file_and_its_mode) {
  const temporary_folder folder;
  const std::string file = folder.write("keys.json", "old");
  ASSERT_EQ(::chmod(file.c_str(), 0644), 0);

  const auto made = generate(file, true);

  EXPECT_EQ(made.status, success) << made.err;
  EXPECT_TRUE(crypto::key_ring::load(file).has_value());
  EXPECT_EQ(mode_of(file), mode_t{0600});
  EXPECT_EQ(folder.entries(), 1U);
}

TEST(keys_command, a_dangling_link_is_not_followed) {
  const temporary_folder folder;
  std::filesystem::create_symlink(folder.file("elsewhere"), folder.file("keys.json"));

  EXPECT_EQ(generate(folder.file("keys.json")).status, failure);
  EXPECT_FALSE(std::filesystem::exists(folder.file("elsewhere")));
}

TEST(keys_command, a_folder_that_does_not_exist_is_named) {
  const temporary_folder folder;

  const auto made = generate(folder.file("none/keys.json"));

  EXPECT_EQ(made.status, failure);
  EXPECT_THAT(made.err, HasSubstr(folder.file("none")));
  EXPECT_THAT(made.out, IsEmpty());
}

TEST(private_file, exactly_one_of_many_writers_creates_it) {
  const temporary_folder folder;
  const std::string file = folder.file("keys.json");
  std::atomic<int> created{0};

  std::vector<std::jthread> writers;
  for (int i = 0; i < 8; ++i) {
    writers.emplace_back([&, i] {
      const auto written =
          write_private_file(file, std::string(1'000, static_cast<char>('a' + i)), if_exists::refuse);
      if (written.has_value()) ++created;
    });
  }
  writers.clear();

  EXPECT_EQ(created, 1);
  EXPECT_EQ(folder.read("keys.json").size(), 1'000U);
  EXPECT_EQ(folder.entries(), 1U);
}

TEST(private_file, a_folder_in_its_place_is_an_error_that_leaves_nothing_behind) {
  const temporary_folder folder;
  std::filesystem::create_directory(folder.file("keys.json"));

  EXPECT_TRUE(write_private_file(folder.file("keys.json"), "x", if_exists::replace).has_error());
  EXPECT_EQ(folder.entries(), 1U);
}

}  // namespace
}  // namespace pam::cli

// The publication that docs/database.md tells of, with a consumer of PostgreSQL's own: every audit event,
// once, and nothing else.
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "server/cli/migration_runner.hpp"
#include "tests/support/test_database.hpp"

namespace pam::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

/// The server's own, else Debian's newest: the protocol is the same.
std::string pg_recvlogical() {
  const std::string own = tests::service("PAM_TEST_PG_BIN") + "/pg_recvlogical";
  if (access(own.c_str(), X_OK) == 0) return own;
  std::string newest;
  for (const auto& version : std::filesystem::directory_iterator{"/usr/lib/postgresql"})
    newest = std::max(newest, version.path().string() + "/bin/pg_recvlogical");
  return newest;
}

std::string output_of(const std::string& command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe{popen(command.c_str(), "re"), pclose};
  std::string text;
  std::array<char, 4096> piece{};
  while (const std::size_t length = fread(piece.data(), 1, piece.size(), pipe.get()))
    text.append(piece.data(), length);
  return text;
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

/// How an Insert message of pgoutput begins ("Logical Replication Message Formats"): the row's table by
/// its oid in network order, then the new row.
std::string insert_into(const std::string& oid) {
  const auto number = static_cast<std::uint32_t>(std::stoul(oid));
  std::string text = "I";
  for (const int shift : {24, 16, 8, 0})
    text += static_cast<char>(number >> static_cast<unsigned>(shift) & 0xffU);
  return text + "N";
}

TEST(publication, of_the_audit_log_is_read_by_logical_decoding) {
  const tests::test_database database;
  auto owner = database.open();
  ASSERT_TRUE(migrate_up(owner, {}).has_value());
  ASSERT_TRUE(owner
                  .run("CREATE PUBLICATION pam_auth_events FOR TABLE auth_events WITH (publish = 'insert', "
                       "publish_via_partition_root = true)")
                  .has_value());
  const std::string slot = "pam_" + std::to_string(getpid());
  ASSERT_TRUE(owner.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", {slot}).has_value());
  const auto event = [&](const std::string& kind, const std::string& when) {
    ASSERT_TRUE(owner
                    .run("INSERT INTO auth_events (account_id, occurred_at, id, kind, success) VALUES "
                         "(gen_random_uuid(), " +
                         when + ", uuid7(), '" + kind + "', true)")
                    .has_value());
  };
  event("first_event", "now()");
  event("second_event", "now() + interval '1 month'");  // another partition, the same publication
  ASSERT_TRUE(owner.run("INSERT INTO accounts (email) VALUES ('unpublished@example.com')").has_value());
  const auto end = owner.query("SELECT pg_current_wal_lsn()");

  const std::string seen = output_of(pg_recvlogical() + " --dbname=" + database.name() +
                                     " --host=" + tests::service("PAM_TEST_PG_SOCKET_DIR") +
                                     " --port=" + tests::service("PAM_TEST_PG_PORT") +
                                     " --username=" + tests::service("PAM_TEST_PG_SUPERUSER") +
                                     " --slot=" + slot + " --start --no-loop --endpos=" + *end->values[0][0] +
                                     " -o proto_version=1 -o publication_names=pam_auth_events -f - 2>&1");

  ASSERT_TRUE(owner.query("SELECT pg_drop_replication_slot($1)", {slot}).has_value());
  EXPECT_EQ(count_of(seen, "first_event"), 1U) << seen;
  EXPECT_EQ(count_of(seen, "second_event"), 1U) << seen;
  const auto table = owner.query("SELECT 'auth_events'::regclass::oid::int8");
  EXPECT_EQ(count_of(seen, insert_into(*table->values[0][0])), 2U)
      << "partitions are published as their table";
  EXPECT_THAT(seen, Not(HasSubstr("unpublished")));
}

}  // namespace
}  // namespace pam::cli

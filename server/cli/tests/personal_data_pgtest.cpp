// What is held of a person can be shown and erased: the tests search every table for it.
#include "server/cli/personal_data.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/cli/migration_runner.hpp"
#include "server/cli/schema_invariants.hpp"
#include "tests/support/test_database.hpp"

namespace pam::cli {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr const char* account = "0190aaaa-bbbb-7ccc-8ddd-eeeeffff0001";
constexpr const char* other = "0190aaaa-bbbb-7ccc-8ddd-eeeeffff0002";

class personal_data : public testing::Test {
 protected:
  personal_data() : owner_(database_.open()) {
    const auto done = migrate_up(owner_, {});
    if (done.has_error()) throw std::runtime_error(done.error().sentence);
    for (const auto& [id, name] : {std::pair{account, "quentin"}, std::pair{other, "oskar"}}) add(id, name);
  }

  /// Who erased an account, and how, as the audit log has it.
  std::string erasure_of(const std::string& whom) {
    const auto found = owner_.query(
        "SELECT actor || ' ' || detail FROM auth_events WHERE kind = 'account_erased' AND account_id = "
        "$1::uuid",
        {whom});
    return found->empty() ? "nobody" : found->values[0][0].value_or("NULL");
  }
  /// A row in every table that knows accounts.
  void add(const std::string& id, const std::string& name) {
    const std::string who = "'" + id + "'";
    const std::string hash = "decode(repeat('ab', 32), 'hex')";
    const std::string digits = name == "quentin" ? "1" : "2";
    const auto done = owner_.run(
        "INSERT INTO accounts (id, email, phone, hashed_password, metadata) VALUES (" + who + ", '" + name +
        "@example.com', '+4366412345" + digits + "', 'hash-of-" + name + "', '{\"name\": \"" + name +
        "\"}'); INSERT INTO claims VALUES ('email', '" + name + "@example.com', " + who +
        ", now()), ('phone', '+4366412345" + digits + "', " + who +
        ", now()); INSERT INTO identities (account_id, id, provider, provider_id, identity_data, email) "
        "VALUES (" +
        who + ", uuid7(), 'email', " + who + ", '{\"email\": \"" + name + "@example.com\"}', '" + name +
        "@example.com'); INSERT INTO sessions (id, account_id, refresh_token, expires_at, "
        "absolute_expires_at, "
        "created_at, refreshed_at, ip, user_agent) VALUES (uuid7(), " +
        who + ", " + hash +
        ", now() + interval '1 day', now() + interval '2 days', now(), now(), '192.0.2.7', 'browser of " +
        name +
        "'); INSERT INTO factors (account_id, id, kind, friendly_name, secret, created_at, updated_at) "
        "VALUES (" +
        who + ", " + who + ", 'totp', 'phone of " + name +
        "', '0123456789abcdef', now(), now()); INSERT INTO "
        "webauthn_credentials (account_id, id, credential_id, public_key, friendly_name, created_at, "
        "updated_at) VALUES "
        "(" +
        who + ", uuid7(), 'c', 'k', 'key of " + name +
        "', now(), now()); INSERT INTO recovery_codes VALUES (" + who + ", uuid7(), " + hash +
        ", NULL, now()); INSERT INTO one_time_tokens (id, account_id, purpose, token_hash, detail, "
        "expires_at, "
        "created_at) VALUES (uuid7(), " +
        who + ", 'email_change', " + hash + ", '{\"email\": \"" + name +
        "@example.org\"}', now(), now()); INSERT INTO flow_states (id, kind, account_id, expires_at, "
        "created_at) VALUES "
        "(uuid7(), 'pkce', " +
        who +
        ", now(), now()); INSERT INTO outbox (bucket, id, account_id, kind, payload, due_at, created_at) "
        "VALUES (1, "
        "uuid7(), " +
        who + ", 'mail', 'to " + name +
        "', now(), now()); INSERT INTO auth_events (account_id, occurred_at, id, kind, success, ip, geo, "
        "detail) VALUES (" +
        who + ", now(), uuid7(), 'sign_in', true, '192.0.2.7', '(16,48)', '{\"note\": \"" + name + "\"}')");
    if (done.has_error()) throw std::runtime_error(done.error().detail);
  }

  /// Tables of the schema in which a text occurs, in any column of any row, partitions and reports included.
  std::vector<std::string> tables_with(const std::string& text) {
    const auto tables = owner_.query(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'm') "
        "ORDER BY 1");
    std::vector<std::string> found;
    for (const auto& row : tables->values) {
      const auto hit = owner_.query("SELECT count(*) FROM public." + db::quote_identifier(*row[0]) +
                                        " AS t WHERE t::text ILIKE '%' || $1 || '%'",
                                    {text});
      if (hit->values[0][0] != "0") found.push_back(*row[0]);
    }
    return found;
  }

  tests::test_database database_;
  db::admin_connection owner_;
};

TEST_F(personal_data, test_rows_stand_in_every_table_that_knows_accounts) {
  const auto known = owner_.query(
      "SELECT count(*) FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = "
      "'account_id' "
      "WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition");

  // And accounts itself.
  EXPECT_EQ(std::to_string(tables_with(account).size() - 1), *known->values[0][0]);
}

TEST_F(personal_data, export_shows_everything_but_secrets) {
  const auto document = export_person(owner_, account);

  ASSERT_TRUE(document.has_value()) << document.error().sentence;
  for (const char* expected :
       {"quentin@example.com", "+43664123451", "browser of quentin", "phone of quentin", "key of quentin",
        "quentin@example.org", "192.0.2.7", "sign_in", "\"outbox\""})
    EXPECT_THAT(*document, HasSubstr(expected));
  for (const char* secret : {"hash-of-quentin", "abababab", "oskar", "refresh_token", "code_hash", "payload"})
    EXPECT_THAT(*document, Not(HasSubstr(secret)));
}

TEST_F(personal_data, hard_deletion_leaves_nothing_in_any_table) {
  const auto erased = erase_hard(owner_, account);

  ASSERT_TRUE(erased.has_value()) << erased.error().sentence;
  EXPECT_GT(*erased, 10);
  for (const char* trace : {account, "quentin", "3664123451"})
    EXPECT_THAT(tables_with(trace), IsEmpty()) << trace;
  EXPECT_EQ(erasure_of("00000000-0000-0000-0000-000000000000"), "postgres {\"how\": \"hard\"}");
  EXPECT_EQ(tables_with(other).size(), 11U) << "the other account keeps all of its rows";
  const auto invariants = check_invariants(owner_);
  ASSERT_TRUE(invariants.has_value());
  EXPECT_THAT(*invariants, IsEmpty());
}

TEST_F(personal_data, soft_deletion_frees_the_address_and_leaves_only_a_pseudonym) {
  const auto erased = erase_softly(owner_, account, [](std::string_view text) {
    return text.find('@') != std::string_view::npos ? std::string{"0123456789abcdef0123456789abcdef"}
                                                    : std::string{"fedcba9876543210fedcba9876543210"};
  });

  ASSERT_TRUE(erased.has_value()) << erased.error().sentence;
  for (const char* trace : {"quentin", "3664123451"}) EXPECT_THAT(tables_with(trace), IsEmpty()) << trace;
  const auto places = owner_.query(
      "SELECT count(*) FROM auth_events WHERE account_id = $1::uuid AND (ip IS NOT NULL OR "
      "geo IS NOT NULL)",
      {account});
  EXPECT_EQ(places->values[0][0], "0");
  const auto row = owner_.query(
      "SELECT email, deleted_at IS NOT NULL, (SELECT bool_and(revoked_at IS NOT NULL) FROM sessions WHERE "
      "account_id = "
      "a.id) FROM accounts AS a WHERE id = $1::uuid",
      {account});
  EXPECT_THAT(row->values[0], testing::ElementsAre("0123456789abcdef0123456789abcdef", "t", "t"));
  EXPECT_EQ(erasure_of(account), "postgres {\"how\": \"soft\"}");
  // The address is free again.
  EXPECT_TRUE(
      owner_.run("INSERT INTO claims VALUES ('email', 'quentin@example.com', gen_random_uuid(), now())")
          .has_value());
}

TEST_F(personal_data, a_person_is_found_by_id_address_or_number) {
  EXPECT_EQ(find_person(owner_, {.id = account, .claim = ""}).value(), account);
  EXPECT_EQ(find_person(owner_, {.id = "", .claim = "quentin@example.com"}).value(), account);
  EXPECT_EQ(find_person(owner_, {.id = "", .claim = "+43664123451"}).value(), account);
  EXPECT_TRUE(find_person(owner_, {.id = "", .claim = "nobody@example.com"}).has_error());
  EXPECT_TRUE(find_person(owner_, {.id = "no uuid", .claim = ""}).has_error());
}

}  // namespace
}  // namespace pam::cli

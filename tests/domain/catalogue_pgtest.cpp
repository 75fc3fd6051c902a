// Every statement of the catalogue, run twice with the same parameters on the real schema. What may be sent
// again after a lost connection must leave the tables as the first run did; what must not, shows why.
// PAM_TEST_STATEMENT_TABLE names a file for the table of the catalogue (Markdown).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <regex>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "server/auth/statements.hpp"
#include "server/cli/migration_runner.hpp"
#include "tests/domain/plan_table.hpp"
#include "tests/support/test_database.hpp"

namespace {

using pam::db::pg_type;
using pam::db::statement;

/// How a statement that writes is made to act, and why a second run is or is not the same.
struct writing {
  const char* part;  ///< found in this statement's text only
  const char* name;
  std::string arguments;  ///< SQL, as EXECUTE takes them
  const char* why;
};

constexpr const char* account = "'00000000-0000-7000-8000-000000000001'";
constexpr const char* nobody = "'00000000-0000-7000-8000-000000000002'";
constexpr const char* event_id = "'00000000-0000-7000-8000-00000000000e'";
constexpr const char* old_token = "decode(repeat('aa', 32), 'hex')";
constexpr const char* new_token = "decode(repeat('bb', 32), 'hex')";

std::string list(std::initializer_list<std::string_view> values) {
  std::string joined;
  for (const std::string_view each : values) joined += (joined.empty() ? "" : ", ") + std::string{each};
  return joined;
}

/// @param session, other  ids of two sessions of `account`; `fresh` is none's
std::vector<writing> writings(const std::string& session, const std::string& fresh) {
  return {
      {"cardinality($1))) k WHERE sessions.id", "rotate the tokens of several sessions",
       list({"ARRAY[" + std::string{account} + "]::uuid[]", "ARRAY[" + session + "]::uuid[]",
             "ARRAY[" + std::string{old_token} + "]", "ARRAY[" + std::string{new_token} + "]", "ARRAY[3]",
             "ARRAY[now() + interval '9 days']", "ARRAY[now()]"}),
       "as for one: the first run took the old tokens away"},
      {"sessions.generation = $5", "rotate a session's token",
       list({account, session, old_token, new_token, "3", "now() + interval '9 days'", "now()"}),
       "the first run took the old token away: the second matches no row, and the caller reads it back"},
      {"repeats = repeats + 1", "count a repeated refresh", list({account, session, "3", "now()", "3"}),
       "it counts: a second run would use up two of a client's repeats"},
      {"generation = $5, repeats = 0", "resync a session that a restore left behind",
       list({account, session, old_token, new_token, "7", "now() + interval '9 days'", "now()"}),
       "the first run took the old token away"},
      {"WHERE account_id = $1 AND id = $2 AND (revoked_at", "end a session",
       list({account, session, "now()", "1", event_id, "'sign_out'", "true"}),
       "the same moment and reason are set again, the event's id is there already"},
      {"AND id <> $2 AND id >= $5", "end the account's other sessions",
       list({account, session, "now()", "1", "'00000000-0000-0000-0000-000000000000'", event_id,
             "'sessions_ended'"}),
       "the same moment and reason are set again, the event's id is there already"},
      {"WITH claim AS", "sign up",
       list({nobody, "'new@example.com'", "'hash'", "'{}'", "'{}'", "'authenticated'", "'authenticated'",
             "'{}'", "now()", nobody, fresh, new_token, "now() + interval '1 day'",
             "now() + interval '9 days'", "'[]'", "'192.0.2.1'", "'agent'", event_id, "'request'"}),
       "every row has an id made before sending; who holds the claim already is the same account"},
      {"'sign_in', true", "sign in",
       list({account, "'hash'", "NULL", "now()", fresh, new_token, "now() + interval '1 day'",
             "now() + interval '9 days'", "'[]'", "'192.0.2.1'", "'agent'", event_id, "'request'"}),
       "session and event have ids made before sending; times only grow"},
      {"failed_count + 1", "count a failed sign-in", list({account, "now()", "now() - interval '1 day'"}),
       "it counts"},
      {"'account_changed'", "change an account",
       list({account, session, R"('{"name": "x"}')", "'{old}'", "'new hash'", "'hash'", "now()", event_id}),
       "the new hash is accepted in the old one's place, metadata is set to the same, the event's id is "
       "there"},
      {"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)", "write an audit event",
       list({account, "now()", event_id, "'note'", "true", "NULL", "NULL", "NULL", "NULL", "'{}'"}),
       "its key has an id made before sending"},
      {"SELECT $1, $2, $3, $4, false", "write an audit event of a failure",
       list({account, "now()", event_id, "'sign_in_failed'", "NULL", "NULL", "'{}'",
             "now() - interval '1 minute'"}),
       "its key has an id made before sending"},
      {"UPDATE token_cut", "move the cut of everybody's tokens",
       list({"now()", "'00000000-0000-0000-0000-000000000000'", event_id, "NULL", "NULL", "'operator'"}),
       "the later moment stays, the event's id is there already"},
      {"INSERT INTO app_instances", "tell that a process lives",
       list({nobody, "'host'", "1", "'1.0'", "20", "now()", "now()"}), "the later moment stays"},
      {"UPDATE app_instances SET ended_at", "tell that a process ended", list({account, "now()"}),
       "the same moment is set again"},
  };
}

/// Writes nothing to a table: partitions that are there already, and DDL that does nothing twice.
constexpr std::string_view ddl_part = "ensure_partitions";

/// A line of the table in docs: what, its name where it is prepared, its batch, the row it locks, whether it
/// may be sent again and why.
std::string table_line(const statement& what, const std::string& does, const std::string& why) {
  constexpr std::array ranks{"none", "session", "claim", "account", "other"};
  const bool is_locking = what.opts.rank != pam::db::lock_rank::none;
  return "| " + does + " | `" + std::string{what.name.view()} + "` | " +
         (what.opts.batch == pam::db::batch::shared ? "shared" : "alone") + " | " +
         ranks.at(static_cast<std::size_t>(what.opts.rank)) +
         (is_locking ? ", by $" + std::to_string(what.opts.conflict_key + 1) : "") + " | " +
         (what.opts.repeat == pam::db::repeat::safe ? "yes" : "no") + " | " + why + " |\n";
}

bool writes(const statement& what) {
  return std::regex_search(std::string{what.sql}, std::regex{R"(\b(UPDATE|INSERT|DELETE) )"});
}

std::string type_names(const statement& what, pam::db::admin_connection& on) {
  std::string names;
  for (std::size_t n = 0; n < what.parameter_count; ++n) {
    const auto oid = std::to_string(static_cast<std::uint32_t>(what.parameter_types[n]));
    names += (n > 0 ? ", " : "") + on.query("SELECT " + oid + "::regtype")->values.at(0).at(0).value();
  }
  return names;
}

class catalogue : public testing::Test {
 protected:
  catalogue() : on_{database_.open()} {
    const auto migrated = pam::cli::migrate_up(on_, {});
    if (migrated.has_error()) throw std::runtime_error(migrated.error().sentence);
    session_ = "'" + value("SELECT uuid7()") + "'";
    other_ = "'" + value("SELECT uuid7()") + "'";
    fresh_ = "'" + value("SELECT uuid7()") + "'";
    const std::string columns =
        "(id, account_id, refresh_token, generation, expires_at, absolute_expires_at, created_at, "
        "refreshed_at)";
    const std::string rest = std::string{", "} + account + ", " + old_token +
                             ", 3, now() + interval '1 day', now() + interval '90 days', "
                             "now() - interval '1 hour', now() - interval '1 hour')";
    run(std::string{
            "INSERT INTO accounts (id, email, hashed_password, metadata, email_confirmed_at, created_at, "
            "updated_at) VALUES ("} +
        account + ", 'a@example.com', 'hash', '{\"old\": 1}', now(), now() - interval '1 day', " +
        "now() - interval '1 day'); INSERT INTO identities (account_id, id, provider, provider_id, "
        "identity_data) "
        "VALUES (" +
        account + ", " + account + ", 'email', 'a', '{}'); INSERT INTO sessions " + columns + " VALUES (" +
        session_ + rest + ", (" + other_ + rest +
        "; INSERT INTO app_instances (id, host, pid, version, schema_version, started_at, seen_at) VALUES (" +
        account + ", 'host', 1, '1.0', 20, now(), now())");
    const auto found = on_.query(
        "SELECT oid::regclass FROM pg_class WHERE relkind IN ('r', 'p') AND NOT "
        "relispartition AND relnamespace = 'public'::regnamespace ORDER BY 1");
    for (const auto& row : found->values) tables_.push_back(row.at(0).value());
  }

  void run(const std::string& script) {
    if (const auto done = on_.run(script); done.has_error())
      throw std::runtime_error(script + ": " + done.error().detail);
  }

  std::string value(const std::string& query) {
    const auto found = on_.query(query);
    if (found.has_error()) throw std::runtime_error(query + ": " + found.error().detail);
    return found->values.at(0).at(0).value_or("NULL");
  }

  /// The contents of every table.
  std::string contents() {
    std::string all;
    for (const std::string& table : tables_) {
      all += table + ": " +
             value("SELECT coalesce(string_agg(t::text, ' ' ORDER BY t::text), '') FROM " + table + " AS t") +
             "\n";
    }
    return all;
  }

  struct runs {
    std::string before, first, second;
  };
  runs run_twice(const statement& what, const std::string& arguments) {
    const std::string types = type_names(what, on_);
    run("BEGIN; PREPARE twice" + (types.empty() ? "" : "(" + types + ")") + " AS " + std::string{what.sql});
    const std::string execute = "EXECUTE twice" + (arguments.empty() ? "" : "(" + arguments + ")");
    runs seen;
    seen.before = contents();
    run(execute);
    seen.first = contents();
    run(execute);
    seen.second = contents();
    run("ROLLBACK; DEALLOCATE twice");
    return seen;
  }

  pam::tests::test_database database_;
  pam::db::admin_connection on_;
  std::string session_, other_, fresh_;
  std::vector<std::string> tables_;
};

TEST_F(catalogue, says_truly_what_may_be_sent_again) {
  std::string table =
      "# Statements\n\nThe catalogue of the server, made by `./dev docs statements` from a test that runs "
      "each of "
      "them twice.\n\n| statement | name | batch | locks | sent again | why |\n|---|---|---|---|---|---|\n";
  std::string reads;
  std::size_t lines = 0;
  std::set<std::string_view> used;
  const auto cases = writings(session_, fresh_);
  for (const statement* what : pam::auth::statement_catalogue()) {
    SCOPED_TRACE(what->sql);
    const auto found = std::ranges::find_if(
        cases, [&](const writing& each) { return what->sql.find(each.part) != std::string_view::npos; });
    ASSERT_EQ(found != cases.end(), writes(*what))
        << "a statement that writes needs a case, no other has one";
    std::string arguments;
    if (found == cases.end()) {
      for (std::size_t n = 0; n < what->parameter_count; ++n) arguments += n > 0 ? ", NULL" : "NULL";
    } else {
      arguments = found->arguments;
      EXPECT_TRUE(used.insert(found->part).second) << "two statements contain: " << found->part;
    }

    const runs seen = run_twice(*what, arguments);

    if (found == cases.end()) {
      EXPECT_EQ(seen.first, seen.before);
      EXPECT_EQ(what->opts.repeat, pam::db::repeat::safe);
      reads += what->sql.find(ddl_part) != std::string_view::npos
                   ? table_line(*what, "make missing partitions", "those that are there are left alone")
                   : table_line(*what, pam::tests::summary_of(std::string{what->sql}), "it changes nothing");
      ++lines;
      continue;
    }
    EXPECT_NE(seen.first, seen.before) << "the first run did nothing: the case proves nothing";
    if (what->opts.repeat == pam::db::repeat::safe) {
      EXPECT_EQ(seen.second, seen.first);
    } else {
      EXPECT_NE(seen.second, seen.first) << "it may be sent again: say so";
    }
    table += table_line(*what, found->name, found->why);
    ++lines;
  }
  EXPECT_EQ(used.size(), cases.size()) << "a case without a statement";
  EXPECT_EQ(lines, pam::auth::statement_catalogue().size());
  const char* file = std::getenv("PAM_TEST_STATEMENT_TABLE");
  if (file == nullptr) return;
  std::ofstream out{file};
  out << table << reads;
  ASSERT_TRUE(out.flush()) << "could not write " << file;
}

// One statement for several callers is the same as one for each: what it answers and what it leaves behind.
TEST_F(catalogue, rotates_several_sessions_as_it_rotates_each) {
  const auto all = pam::auth::statement_catalogue();
  const auto one = std::ranges::find_if(all, [](const statement* each) {
    return each->opts.together != nullptr && each->opts.rank == pam::db::lock_rank::session;
  });
  ASSERT_NE(one, all.end());
  run("PREPARE one (" + type_names(**one, on_) + ") AS " + std::string{(*one)->sql});
  run("PREPARE several (" + type_names(*(*one)->opts.together, on_) + ") AS " +
      std::string{(*one)->opts.together->sql});
  const auto rows_of = [&](const std::string& execute, std::size_t first_column) {
    const auto found = on_.query(execute);
    if (found.has_error()) throw std::runtime_error(execute + ": " + found.error().detail);
    std::string text;
    for (const auto& row : found->values) {
      for (std::size_t i = first_column; i < row.size(); ++i) text += row[i].value_or("NULL") + "|";
      text += "\n";
    }
    return text;
  };
  const std::string third = value("SELECT uuid7()");
  const std::string of_nobody = "'" + third + "'";
  struct caller {
    std::string account, session, presented = old_token, generation = "3",
                                  idle_end = "now() + interval '9 days'";
  };
  const std::vector<caller> usual{{account, session_}, {account, other_}, {account, of_nobody}};
  const std::vector<caller> unusual{
      {nobody, session_},
      {account, other_, new_token},
      {account, fresh_, old_token, "3"},
      {account, session_, old_token, "2"},
  };
  const std::vector<caller> far{{account, session_, old_token, "3", "now() + interval '900 days'"},
                                {account, other_, old_token, "4"}};
  std::size_t rotated = 0;
  for (const std::string before : {
           "SELECT 1",
           "UPDATE sessions SET revoked_at = now(), revoke_reason = 1 WHERE id = $",
           "UPDATE sessions SET expires_at = now() WHERE id = $",
           "UPDATE sessions SET expires_at = now() + interval '1 microsecond' WHERE id = $",
           "UPDATE sessions SET absolute_expires_at = now() + interval '2 days' WHERE id = $",
           "UPDATE sessions SET generation = 4, repeats = 2 WHERE id = $",
           "UPDATE sessions SET refresh_token = decode(repeat('bb', 32), 'hex') WHERE id = $",
           "UPDATE sessions SET refreshed_at = now() + interval '1 hour', repeats = 3 WHERE id = $",
           "UPDATE accounts SET banned_until = now() + interval '1 hour'",
           "UPDATE accounts SET banned_until = now()",
           "UPDATE accounts SET deleted_at = now()",
           "UPDATE accounts SET tokens_valid_after = now() - interval '30 minutes'",
           "UPDATE accounts SET tokens_valid_after = now() - interval '1 hour'",
           "DELETE FROM identities",
           "INSERT INTO identities (account_id, id, provider, provider_id, identity_data) SELECT account_id, "
           "uuid7(), 'other', 'b', '{}' FROM identities",
       }) {
    for (const std::vector<caller>& callers : {usual, unusual, far}) {
      const auto mark = before.find('$');
      const std::string prepared = mark == std::string::npos ? before : before.substr(0, mark) + session_;
      SCOPED_TRACE(prepared);
      run("BEGIN; " + prepared + "; SAVEPOINT prepared");
      std::string each;
      std::array<std::string, 7> lists;
      for (const caller& who : callers) {
        const std::array<std::string, 7> values{who.account,    who.session,  who.presented, new_token,
                                                who.generation, who.idle_end, "now()"};
        std::string arguments;
        for (std::size_t i = 0; i < values.size(); ++i) {
          arguments += (i > 0 ? ", " : "") + values[i];
          lists[i] += (lists[i].empty() ? "" : ", ") + values[i];
        }
        each += rows_of("EXECUTE one (" + arguments + ")", 0);
      }
      const std::string left = contents();
      run("ROLLBACK TO prepared");
      constexpr std::array types{"uuid", "uuid", "bytea", "bytea", "int", "timestamptz", "timestamptz"};
      std::string arguments;
      for (std::size_t i = 0; i < lists.size(); ++i)
        arguments += (i > 0 ? ", ARRAY[" : "ARRAY[") + lists[i] + "]::" + types[i] + "[]";

      EXPECT_EQ(rows_of("EXECUTE several (" + arguments + ")", 1), each);
      EXPECT_EQ(contents(), left);

      rotated += static_cast<std::size_t>(std::ranges::count(each, '\n'));
      run("ROLLBACK");
    }
  }
  EXPECT_GT(rotated, 20U);
}

// Partitions are made once, whoever asks how often.
TEST_F(catalogue, makes_missing_partitions_once) {
  const auto all = pam::auth::statement_catalogue();
  const auto ensure = std::ranges::find_if(
      all, [](const statement* each) { return each->sql.find(ddl_part) != std::string_view::npos; });
  ASSERT_NE(ensure, all.end());
  run("DROP TABLE sessions_" +
      value("SELECT to_char(now() AT TIME ZONE 'UTC' + interval '1 month', 'YYYYMM')"));

  EXPECT_EQ(value(std::string{(*ensure)->sql}), "1");
  EXPECT_EQ(value(std::string{(*ensure)->sql}), "0");
}

}  // namespace

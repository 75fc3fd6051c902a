#include "server/cli/personal_data.hpp"

#include <charconv>
#include <vector>

namespace pam::cli {

namespace {

migration_error failed(const std::string& what, const db::error& failure) {
  return {failure.code == db::errc::rejected ? migration_errc::failed : migration_errc::connection,
          what + ": " + failure.detail + "."};
}

// Found in the catalogue, so that a table of a later migration is not forgotten.
constexpr const char* tables_of_accounts = R"(
SELECT c.relname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'account_id'
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
   AND NOT a.attisdropped
 ORDER BY 1)";

constexpr const char* left_out =
    " - ARRAY['hashed_password', 'refresh_token', 'secret', 'code_hash', 'token_hash', 'payload', 'sealed']";

std::string table(const std::string& name) {
  return "public." + db::quote_identifier(name);
}

migration_result<std::vector<std::string>> tables(db::admin_connection& connection) {
  const auto found = connection.query(tables_of_accounts);
  if (found.has_error()) return failed("The tables could not be listed", found.error());
  std::vector<std::string> names;
  for (const db::text_row& row : found->values) names.push_back(row[0].value_or(""));
  return names;
}

/// What an operator did is in the audit log, in the transaction that did it.
std::string erased_event(const std::string& account, const std::string& how) {
  return "INSERT INTO public.auth_events (account_id, occurred_at, id, kind, success, actor, detail) "
         "SELECT " +
         account +
         ", statement_timestamp(), public.uuid7(statement_timestamp()), 'account_erased', true, "
         "session_user, "
         "jsonb_build_object('how', '" +
         how + "')";
}

/// Runs all statements or none.
migration_result<std::int64_t> together(db::admin_connection& connection,
                                        const std::vector<std::string>& statements,
                                        const std::vector<std::vector<db::text_value>>& parameters) {
  std::int64_t rows = 0;
  auto done = connection.run("BEGIN; SET LOCAL lock_timeout = '5s'");
  for (std::size_t i = 0; done.has_value() && i < statements.size(); ++i) {
    const auto ran = connection.query(statements[i], parameters[i]);
    if (ran.has_error()) {
      done = ran.error();
    } else {
      rows += ran->affected;
    }
  }
  if (done.has_value()) done = connection.run("COMMIT");
  if (done.has_value()) return rows;
  if (connection.is_open()) static_cast<void>(connection.run("ROLLBACK"));
  return failed("Nothing was erased", done.error());
}

}  // namespace

migration_result<std::string> find_person(db::admin_connection& connection, const person& who) {
  const bool is_by_id = !who.id.empty();
  const auto found = is_by_id
                         ? connection.query("SELECT id FROM public.accounts WHERE id = $1::uuid", {who.id})
                         : connection.query(
                               "SELECT account_id FROM public.claims WHERE kind IN ('email', 'phone') AND "
                               "value = $1",
                               {who.claim});
  if (found.has_error()) return failed("The account could not be looked up", found.error());
  if (found->empty())
    return migration_error{
        migration_errc::failed,
        "No account is known by that " + std::string{is_by_id ? "id" : "address or number"} + "."};
  return found->values[0][0].value_or("");
}

migration_result<std::string> export_person(db::admin_connection& connection, const std::string& account) {
  const auto names = tables(connection);
  if (names.has_error()) return names.error();
  std::string query =
      std::string{
          "SELECT jsonb_pretty(jsonb_build_object('accounts', (SELECT "
          "jsonb_agg(to_jsonb(t)"} +
      left_out + ") FROM public.accounts AS t WHERE t.id = $1::uuid)";
  for (const std::string& name : *names)
    query += ", " + db::quote_literal(name) + ", coalesce((SELECT jsonb_agg(to_jsonb(t)" + left_out +
             ") FROM " + table(name) + " AS t WHERE t.account_id = $1::uuid), '[]')";
  query += "))";
  const auto found = connection.query(query, {account});
  if (found.has_error()) return failed("The account could not be exported", found.error());
  return found->values[0][0].value_or("{}");
}

migration_result<void> erase_softly(db::admin_connection& connection, const std::string& account,
                                    const pseudonym& replace) {
  const auto names =
      connection.query("SELECT email, phone FROM public.accounts WHERE id = $1::uuid", {account});
  if (names.has_error()) return failed("The account could not be read", names.error());
  if (names->empty()) return migration_error{migration_errc::failed, "No account has that id."};
  const auto hidden = [&](const db::text_value& text) {
    return text ? db::text_value{replace(*text)} : db::text_value{};
  };
  const std::vector<std::string> statements{
      "UPDATE public.accounts SET email = $2, phone = $3, hashed_password = NULL, metadata = '{}', "
      "app_metadata = "
      "'{}', deleted_at = coalesce(deleted_at, statement_timestamp()), updated_at = statement_timestamp() "
      "WHERE id "
      "= $1::uuid",
      "UPDATE public.sessions SET revoked_at = coalesce(revoked_at, statement_timestamp()), ip = NULL, "
      "user_agent = "
      "NULL WHERE account_id = $1::uuid",
      "UPDATE public.auth_events SET ip = NULL, geo = NULL, country = NULL, request_id = NULL, detail = '{}' "
      "WHERE "
      "account_id = $1::uuid",
      "DELETE FROM public.claims WHERE account_id = $1::uuid",
      "DELETE FROM public.identities WHERE account_id = $1::uuid",
      "DELETE FROM public.webauthn_credentials WHERE account_id = $1::uuid",
      "DELETE FROM public.factors WHERE account_id = $1::uuid",
      "DELETE FROM public.recovery_codes WHERE account_id = $1::uuid",
      "DELETE FROM public.one_time_tokens WHERE account_id = $1::uuid",
      "DELETE FROM public.flow_states WHERE account_id = $1::uuid",
      "DELETE FROM public.outbox WHERE account_id = $1::uuid",
      erased_event("$1::uuid", "soft"),
  };
  std::vector<std::vector<db::text_value>> parameters(statements.size(), {account});
  parameters[0] = {account, hidden(names->values[0][0]), hidden(names->values[0][1])};
  const auto done = together(connection, statements, parameters);
  if (done.has_error()) return done.error();
  return {};
}

migration_result<std::int64_t> erase_hard(db::admin_connection& connection, const std::string& account) {
  const auto names = tables(connection);
  if (names.has_error()) return names.error();
  // The account last: until the transaction's end its claims keep others from taking the address half-way.
  std::vector<std::string> statements;
  for (const std::string& name : *names)
    statements.push_back("DELETE FROM " + table(name) + " WHERE account_id = $1::uuid");
  statements.emplace_back("DELETE FROM public.accounts WHERE id = $1::uuid");
  std::vector<std::vector<db::text_value>> parameters(statements.size(), {account});
  // That somebody was erased stays known, not who: the event stands under the nil account.
  statements.push_back(erased_event("'00000000-0000-0000-0000-000000000000'::uuid", "hard"));
  parameters.emplace_back();
  const auto rows = together(connection, statements, parameters);
  if (rows.has_error()) return rows.error();
  return *rows - 1;
}

}  // namespace pam::cli

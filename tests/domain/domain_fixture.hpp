#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include "db/admin_connection.hpp"
#include "db/database.hpp"
#include "server/auth/accounts.hpp"
#include "server/auth/sessions.hpp"
#include "server/crypto/hash_pool.hpp"
#include "server/crypto/key_ring.hpp"
#include "tests/support/test_database.hpp"

namespace pam::tests {

/// How the database is reached: without a pooler, through Debian 12's PgBouncer (unnamed statements, one
/// batch in flight), through one of 1.24 or later (named ones, several batches).
enum class route { direct, pooled, pooled_named };
inline constexpr route every_route[] = {route::direct, route::pooled, route::pooled_named};
std::string to_string(route value);

/// One migrated database for the whole suite of a route, and a domain on top of it.
/// Hash costs are libsodium's least, since these tests are about sessions.
class domain_test : public testing::TestWithParam<route> {
 protected:
  static void SetUpTestSuite();
  static void TearDownTestSuite();
  void SetUp() override;
  void TearDown() override;

  /// Runs a coroutine to its end on the test's io_context.
  void run(std::function<boost::asio::awaitable<void>()> body);

  /// Signs up a new account.
  boost::asio::awaitable<auth::grant> new_account();
  boost::asio::awaitable<auth::result<auth::grant>> refresh(const crypto::refresh_token& token);

  /// Changes the test's sessions behind the server's back, as time or an operator would.
  void run_sql(const std::string& sql);
  std::string query_one(const std::string& sql);
  /// Another direct connection to the suite's database, as the superuser or somebody else.
  static db::admin_connection open_admin() { return store_->open(); }
  static db::admin_connection open_admin(const std::string& user) { return store_->open(user); }

  [[nodiscard]] auth::sessions& sessions() { return *sessions_; }
  [[nodiscard]] auth::accounts& accounts() { return *accounts_; }
  [[nodiscard]] db::database& database() { return *database_; }
  [[nodiscard]] const crypto::key_ring& keys() const { return *keys_; }
  [[nodiscard]] const std::string& key_text() const { return key_text_; }
  /// Replaces the services: other lifetimes, other keys.
  void use(auth::session_policy policy);
  void use(crypto::key_ring keys);
  void use(auth::account_policy policy);

  /// How the suite's database is reached on the test's route.
  static db::config settings();

  static async::deadline soon() { return async::within(std::chrono::seconds{10}); }

  boost::asio::io_context context_{1};

 private:
  void make_services();

  static std::unique_ptr<test_database> store_;
  std::unique_ptr<db::admin_connection> admin_;
  std::string key_text_;
  std::unique_ptr<crypto::key_ring> keys_;
  std::unique_ptr<crypto::hash_pool> hashes_;
  std::vector<const db::statement*> catalogue_;
  std::unique_ptr<db::database> database_;
  auth::session_policy policy_;
  auth::account_policy account_policy_;
  std::unique_ptr<auth::sessions> sessions_;
  std::unique_ptr<auth::accounts> accounts_;
};

}  // namespace pam::tests

#include "tests/domain/domain_fixture.hpp"

#include <exception>
#include <stdexcept>

#include <boost/asio/co_spawn.hpp>

#include "server/auth/statements.hpp"
#include "server/cli/migration_runner.hpp"
#include "server/crypto/random.hpp"

namespace pam::tests {
namespace {

struct route_facts {
  std::string name;
  std::string port;
  db::pooler_mode mode;
};

route_facts facts_of(route value) {
  switch (value) {
    case route::direct:
      return {"direct", "PAM_TEST_PG_PORT", db::pooler_mode::direct};
    case route::pooled:
      return {"pooled", "PAM_TEST_PGBOUNCER_PORT", db::pooler_mode::pgbouncer_safe};
    case route::pooled_named:
      break;
  }
  return {"pooled_named", "PAM_TEST_PGBOUNCER_NEW_PORT", db::pooler_mode::pgbouncer_named};
}

}  // namespace

std::string to_string(route value) {
  return facts_of(value).name;
}

std::unique_ptr<test_database> domain_test::store_;

void domain_test::SetUpTestSuite() {
  store_ = std::make_unique<test_database>();
  auto connection = store_->open();
  auto migrated = cli::migrate_up(connection, {});
  ASSERT_TRUE(migrated.has_value()) << migrated.error().sentence;
}

void domain_test::TearDownTestSuite() {
  store_.reset();
}

void domain_test::SetUp() {
  admin_ = std::make_unique<db::admin_connection>(store_->open());
  key_text_ = *crypto::key_ring::generate();
  auto keys = crypto::key_ring::parse(key_text_);
  ASSERT_TRUE(keys.has_value());
  keys_ = std::make_unique<crypto::key_ring>(std::move(*keys));
  crypto::hash_pool_config cheap;
  cheap.cost.memory_kib = 8192;
  cheap.cost.passes = 1;
  hashes_ = std::make_unique<crypto::hash_pool>(cheap);
  catalogue_ = auth::statement_catalogue();
  database_ = std::make_unique<db::database>(context_, settings(), catalogue_);
  make_services();
  run([this]() -> boost::asio::awaitable<void> {
    auto started = co_await database_->start(soon());
    EXPECT_TRUE(started.has_value()) << (started.has_error() ? started.error().detail : "");
    EXPECT_EQ(database_->learned().mode, facts_of(GetParam()).mode);
  });
}

db::config domain_test::settings() {
  db::config how;
  const route_facts way = facts_of(GetParam());
  const auto port = static_cast<std::uint16_t>(std::stoi(service(way.port)));
  how.hosts.push_back({service("PAM_TEST_PG_SOCKET_DIR"), port});
  how.database = store_->name();
  how.mode = way.mode;
  how.pipelines = 2;
  return how;
}

void domain_test::TearDown() {
  run([this]() -> boost::asio::awaitable<void> { co_await database_->close(soon()); });
  hashes_->close();
}

void domain_test::make_services() {
  sessions_ = std::make_unique<auth::sessions>(*database_, *keys_, policy_);
  accounts_ = std::make_unique<auth::accounts>(*database_, *hashes_, *keys_, account_policy_, policy_);
}

void domain_test::use(auth::session_policy policy) {
  policy_ = policy;
  make_services();
}

void domain_test::use(auth::account_policy policy) {
  account_policy_ = std::move(policy);
  make_services();
}

void domain_test::use(crypto::key_ring keys) {
  sessions_.reset();
  accounts_.reset();
  keys_ = std::make_unique<crypto::key_ring>(std::move(keys));
  make_services();
}

void domain_test::run(std::function<boost::asio::awaitable<void>()> body) {
  bool is_done = false;
  boost::asio::co_spawn(context_, body, [&is_done](const std::exception_ptr& failure) {
    is_done = true;
    if (failure) std::rethrow_exception(failure);
  });
  context_.restart();
  while (!is_done && context_.run_one() != 0) {
  }
  ASSERT_TRUE(is_done) << "the coroutine never ended";
}

boost::asio::awaitable<auth::grant> domain_test::new_account() {
  auth::sign_up_command command;
  command.account = auth::accounts::new_id();
  command.email = "user" + std::to_string(crypto::random_below(1'000'000'000)) + "@example.com";
  command.password = crypto::secret{"a-long-and-rare-passphrase"};
  command.documents = {R"({"name":"Ada"})", R"({"provider":"email"})", "{}", "[]"};
  command.place = {"192.0.2.7", "test"};
  auto granted = co_await accounts_->sign_up(std::move(command), soon());
  if (granted.has_error()) throw std::runtime_error("sign-up failed: " + granted.error().detail);
  co_return std::move(*granted);
}

boost::asio::awaitable<auth::result<auth::grant>> domain_test::refresh(const crypto::refresh_token& token) {
  return sessions_->refresh(token, soon());
}

void domain_test::run_sql(const std::string& sql) {
  auto done = admin_->run(sql);
  ASSERT_TRUE(done.has_value()) << done.error().detail;
}

std::string domain_test::query_one(const std::string& sql) {
  auto rows = admin_->query(sql);
  if (rows.has_error() || rows->empty()) return "(none)";
  return rows->values[0][0].value_or("NULL");
}

}  // namespace pam::tests

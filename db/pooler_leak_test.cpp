#include "db/pooler_leak_test.hpp"

#include <poll.h>

#include <array>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include <libpq-fe.h>

#include "db/detail/pg_handle.hpp"

namespace pam::db {

namespace {

using detail::pg_result_ptr;
using connection_ptr = std::unique_ptr<PGconn, decltype(&PQfinish)>;

constexpr std::chrono::seconds patience{10};
/// Between a statement and its Sync: long enough for the pooler to have read the one without the other.
constexpr std::chrono::milliseconds held_back{2};

connection_ptr connect(const admin_settings& settings) {
  const std::string port = std::to_string(settings.port);
  const std::array keys{"host",
                        "port",
                        "dbname",
                        "user",
                        "password",
                        "sslmode",
                        "sslrootcert",
                        "application_name",
                        static_cast<const char*>(nullptr)};
  const std::array values{settings.host.c_str(),
                          port.c_str(),
                          settings.database.c_str(),
                          settings.user.c_str(),
                          settings.password.c_str(),
                          settings.sslmode.c_str(),
                          settings.sslrootcert.c_str(),
                          settings.application_name.c_str(),
                          static_cast<const char*>(nullptr)};
  return {PQconnectdbParams(keys.data(), values.data(), 0), &PQfinish};
}

/// One client and what it found.
class prober {
 public:
  prober(connection_ptr connection, std::size_t number, std::size_t rounds)
      : connection_(std::move(connection)), number_(number), rounds_(rounds) {
    PQenterPipelineMode(connection_.get());
    PQsetnonblocking(connection_.get(), 1);
    detail::silence_notices(connection_.get());
  }

  void run() {
    for (std::size_t round = 0; round < rounds_ && report_.lost == 0; ++round) {
      const std::string first = value(round, "a");
      const std::string second = value(round, "b");
      const bool is_sent = ask(first) && PQpipelineSync(connection_.get()) == 1 && ask(second) && flush();
      // The second statement is with the pooler and its Sync is not.
      if (is_sent) expect(first);
      std::this_thread::sleep_for(held_back);
      if (!is_sent || PQpipelineSync(connection_.get()) != 1 || !flush()) report_.lost = 1;
      if (report_.lost == 0) expect(second);
    }
  }
  [[nodiscard]] const leak_report& report() const { return report_; }

 private:
  [[nodiscard]] std::string value(std::size_t round, const char* which) const {
    return std::to_string(number_) + "-" + std::to_string(round) + "-" + which;
  }
  bool ask(const std::string& text) {
    const char* const data = text.c_str();
    return PQsendQueryParams(connection_.get(), "SELECT $1::text", 1, nullptr, &data, nullptr, nullptr, 0) ==
           1;
  }
  bool flush() {
    int left = PQflush(connection_.get());
    while (left > 0 && wait(POLLOUT)) left = PQflush(connection_.get());
    return left == 0;
  }
  bool wait(short events) {
    pollfd watched{PQsocket(connection_.get()), events, 0};
    return poll(&watched, 1, static_cast<int>(std::chrono::milliseconds{patience}.count())) > 0;
  }
  pg_result_ptr next() {
    for (int nulls = 0; nulls < 2;) {
      while (PQisBusy(connection_.get()) != 0) {
        if (!wait(POLLIN) || PQconsumeInput(connection_.get()) != 1) return {};
      }
      pg_result_ptr got{PQgetResult(connection_.get())};
      if (got) return got;
      ++nulls;
    }
    return {};
  }
  // An answer and its Sync.
  void expect(const std::string& text) {
    ++report_.asked;
    const pg_result_ptr answer = next();
    if (!answer || PQresultStatus(answer.get()) != PGRES_TUPLES_OK || PQntuples(answer.get()) != 1) {
      report_.lost = 1;
      return;
    }
    if (PQgetvalue(answer.get(), 0, 0) != text) ++report_.wrong;
    const pg_result_ptr end = next();
    if (!end || PQresultStatus(end.get()) != PGRES_PIPELINE_SYNC) report_.lost = 1;
  }

  connection_ptr connection_;
  std::size_t number_;
  std::size_t rounds_;
  leak_report report_;
};

}  // namespace

result<leak_report> test_pooler_for_leaks(const admin_settings& where, const leak_test_options& how) {
  std::vector<std::unique_ptr<prober>> clients;
  for (std::size_t i = 0; i < how.clients; ++i) {
    connection_ptr connection = connect(where);
    if (PQstatus(connection.get()) != CONNECTION_OK) {
      return detail::connection_error(connection.get(), errc::unavailable, outcome::not_sent);
    }
    clients.push_back(std::make_unique<prober>(std::move(connection), i, how.rounds));
  }
  std::vector<std::thread> threads;
  for (const auto& one : clients) threads.emplace_back([&one] { one->run(); });
  for (std::thread& one : threads) one.join();
  leak_report sum;
  for (const auto& one : clients) {
    sum.asked += one->report().asked;
    sum.wrong += one->report().wrong;
    sum.lost += one->report().lost;
  }
  return sum;
}

}  // namespace pam::db

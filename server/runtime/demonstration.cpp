#include "server/runtime/demonstration.hpp"

#include <exception>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <string_view>
#include <utility>

#include <simdjson.h>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "server/crypto/random.hpp"

namespace pam::runtime {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

struct answer {
  unsigned status = 0;
  std::string body;
};

/// A keep-alive HTTPS client as any user's would be: it verifies the certificate and the name.
class client {
 public:
  client(std::uint16_t port, const std::string& certificate) : stream_(context_, tls_) {
    tls_.load_verify_file(certificate);
    stream_.set_verify_mode(asio::ssl::verify_peer);
    stream_.set_verify_callback(asio::ssl::host_name_verification("localhost"));
    SSL_set_tlsext_host_name(stream_.native_handle(), "localhost");
    beast::get_lowest_layer(stream_).connect({asio::ip::address_v4::loopback(), port});
    stream_.handshake(asio::ssl::stream_base::client);
  }

  answer send(http::verb verb, const std::string& target, const std::string& body, const std::string& token) {
    http::request<http::string_body> request{verb, target, 11};
    request.set(http::field::host, "localhost");
    request.set(http::field::user_agent, "pam-auth demonstration");
    if (!token.empty()) request.set(http::field::authorization, "Bearer " + token);
    if (!body.empty()) request.set(http::field::content_type, "application/json");
    request.body() = body;
    request.prepare_payload();
    http::write(stream_, request);
    http::response<http::string_body> response;
    beast::flat_buffer buffer;
    http::read(stream_, buffer, response);
    return {response.result_int(), std::move(response.body())};
  }

 private:
  asio::io_context context_;
  asio::ssl::context tls_{asio::ssl::context::tls_client};
  asio::ssl::stream<beast::tcp_stream> stream_;
};

std::string member(const answer& from, std::string_view name) {
  simdjson::dom::parser parser;
  std::string_view value;
  if (parser.parse(from.body).at_key(name).get(value) != simdjson::SUCCESS) {
    throw std::runtime_error("the answer has no " + std::string{name});
  }
  return std::string{value};
}

/// Tokens are secrets even in a demonstration: enough to recognise one, too little to use it.
std::string shortened(std::string_view token) {
  constexpr std::size_t shown = 14;
  return token.size() <= shown ? std::string{token} : std::string{token.substr(0, shown)} + "...";
}

class round {
 public:
  round(client& to, std::string prefix, std::ostream& out) : to_(to), prefix_(std::move(prefix)), out_(out) {}

  answer step(http::verb verb, const std::string& path, const std::string& body, const std::string& token,
              std::string_view shown_body, unsigned expected) {
    out_ << "  > " << http::to_string(verb) << ' ' << prefix_ << path;
    if (!shown_body.empty()) out_ << "  " << shown_body;
    out_ << '\n';
    answer got = to_.send(verb, prefix_ + path, body, token);
    if (got.status != expected) {
      throw std::runtime_error("answered " + std::to_string(got.status) + " instead of " +
                               std::to_string(expected) + ": " + got.body);
    }
    return got;
  }
  std::ostream& show() { return out_ << "  < "; }

 private:
  client& to_;
  std::string prefix_;
  std::ostream& out_;
};

std::string random_word() {
  std::string word(16, 'a');
  for (char& c : word) c = static_cast<char>('a' + crypto::random_below(26));
  return word;
}

void play(round& play_round) {
  const std::string email = "demo-" + random_word() + "@example.com";
  const std::string credentials = R"({"email":")" + email + R"(","password":")" + random_word() + R"("})";
  const std::string shown = R"({"email":")" + email + R"(","password":"..."})";

  answer got = play_round.step(http::verb::post, "/signup", credentials, "", shown, 200);
  play_round.show() << "200  signed up, access token " << shortened(member(got, "access_token")) << '\n';

  got = play_round.step(http::verb::post, "/token?grant_type=password", credentials, "", shown, 200);
  const std::string first = member(got, "refresh_token");
  play_round.show() << "200  signed in, refresh token " << shortened(first) << '\n';

  got = play_round.step(http::verb::post, "/token?grant_type=refresh_token",
                        R"({"refresh_token":")" + first + R"("})", "",
                        R"({"refresh_token":")" + shortened(first) + R"("})", 200);
  const std::string access = member(got, "access_token");
  if (member(got, "refresh_token") == first) throw std::runtime_error("the refresh token was not rotated");
  play_round.show() << "200  refreshed, the token was rotated\n";

  got = play_round.step(http::verb::get, "/user", "", access, "", 200);
  if (member(got, "email") != email) throw std::runtime_error("the user read is another one");
  play_round.show() << "200  " << member(got, "id") << ' ' << member(got, "email") << '\n';

  play_round.step(http::verb::post, "/logout", "", access, "", 204);
  play_round.show() << "204  signed out everywhere\n";

  play_round.step(http::verb::get, "/user", "", access, "", 403);
  play_round.show() << "403  session_not_found: the old access token opens nothing any more\n";
}

}  // namespace

bool demonstrate(std::uint16_t port, const std::string& prefix, const std::string& certificate,
                 std::ostream& out) {
  try {
    client to{port, certificate};
    round play_round{to, prefix, out};
    play(play_round);
    out.flush();
    return true;
  } catch (const std::exception& failure) {
    out << "  ! " << failure.what() << std::endl;
    return false;
  }
}

}  // namespace pam::runtime

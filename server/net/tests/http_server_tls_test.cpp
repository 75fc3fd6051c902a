// The server under TLS: versions, protocols, tickets, certificates.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "server/net/http_server.hpp"
#include "server/net/tests/server_fixture.hpp"
#include "server/net/tests/test_certificate.hpp"
#include "server/net/tls.hpp"

namespace pam::net::test {
namespace {

using ::testing::HasSubstr;

struct session_free {
  void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
};
using session_pointer = std::unique_ptr<SSL_SESSION, session_free>;

class tls_server : public ::testing::Test {
 protected:
  tls_context load(const std::string& name, const std::string& secret_file = {}) {
    tls_config settings = make_certificate(folder, name, name);
    settings.ticket_secret_file = secret_file;
    return tls_context::load(settings).value();
  }

  /// One request over a new connection, and the ticket that came with it.
  session_pointer session_of(const running_server& server, int version) {
    client peer(server.port(), tls_wishes{.least_version = version, .most_version = version});
    EXPECT_EQ(peer.get("/hello").status, 200u);
    return session_pointer(SSL_get1_session(peer.ssl()));
  }

  temporary_folder folder;
};

TEST_F(tls_server, tls_12_and_13_are_spoken) {
  const tls_context context = load("a");
  running_server server({}, &context);
  client modern(server.port(), tls_wishes{.least_version = TLS1_3_VERSION});
  client older(server.port(), tls_wishes{.most_version = TLS1_2_VERSION});

  EXPECT_EQ(modern.get("/hello").body, "hello /hello");
  EXPECT_EQ(older.get("/hello").body, "hello /hello");
  EXPECT_EQ(SSL_version(modern.ssl()), TLS1_3_VERSION);
  EXPECT_EQ(SSL_version(older.ssl()), TLS1_2_VERSION);
  EXPECT_EQ(server.stats().handshakes, 2u);
}

TEST_F(tls_server, pipelined_requests_do_not_pile_up_on_the_stack) {
  const tls_context context = load("a");
  running_server server({}, &context);
  client peer(server.port(), tls_wishes{});

  expect_flat_pipelining(server, peer);
}

TEST_F(tls_server, tls_11_is_refused) {
  const tls_context context = load("a");
  running_server server({}, &context);

  client old(server.port(), tls_wishes{.least_version = TLS1_1_VERSION, .most_version = TLS1_1_VERSION});

  EXPECT_FALSE(old.is_established());
  EXPECT_TRUE(eventually([&] { return server.stats().handshakes_failed == 1; }));
}

TEST_F(tls_server, tls_12_uses_ephemeral_keys_and_authenticated_encryption) {
  const tls_context context = load("a");
  running_server server({}, &context);
  client older(server.port(), tls_wishes{.most_version = TLS1_2_VERSION});

  const std::string cipher = SSL_get_cipher_name(older.ssl());

  EXPECT_THAT(cipher, HasSubstr("ECDHE"));
  EXPECT_TRUE(cipher.find("GCM") != std::string::npos || cipher.find("POLY1305") != std::string::npos);
}

TEST_F(tls_server, http_11_is_chosen_among_offered_protocols) {
  const tls_context context = load("a");
  running_server server({}, &context);
  client peer(server.port(), tls_wishes{.alpn = "\x02h2\x08http/1.1"});

  const unsigned char* chosen = nullptr;
  unsigned length = 0;
  SSL_get0_alpn_selected(peer.ssl(), &chosen, &length);

  EXPECT_EQ(std::string(reinterpret_cast<const char*>(chosen), length), "http/1.1");
}

TEST_F(tls_server, a_client_without_a_common_protocol_is_refused) {
  const tls_context context = load("a");
  running_server server({}, &context);

  client peer(server.port(), tls_wishes{.alpn = "\x02h2"});

  EXPECT_FALSE(peer.is_established());
}

TEST_F(tls_server, answers_ask_for_strict_transport_security) {
  const tls_context context = load("a");
  running_server server({}, &context);
  client peer(server.port(), tls_wishes{});

  EXPECT_EQ(peer.get("/hello").header("Strict-Transport-Security"), "max-age=31536000");
}

TEST_F(tls_server, two_requests_in_one_record_are_both_answered) {
  const tls_context context = load("a");
  running_server server({}, &context);
  client peer(server.port(), tls_wishes{});

  peer.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");

  EXPECT_EQ(peer.read_answer().body, "hello /1");
  EXPECT_EQ(peer.read_answer().body, "hello /2");
}

TEST_F(tls_server, requests_in_several_records_that_arrive_together_are_all_answered) {
  const tls_context context = load("a");
  running_server server({}, &context);
  client peer(server.port(), tls_wishes{});
  peer.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
  server.await_waiting();

  // Both wait in the socket; read-ahead takes them together while the first is answered.
  peer.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
  peer.send("GET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
  server.release();

  EXPECT_EQ(peer.read_answer().body, "waited");
  EXPECT_EQ(peer.read_answer().body, "hello /2");
  EXPECT_EQ(peer.read_answer().body, "hello /3");
}

TEST_F(tls_server, a_large_body_and_a_large_answer_pass) {
  const tls_context context = load("a");
  running_server server({}, &context);
  client peer(server.port(), tls_wishes{});
  const std::string body(60'000, 'x');

  peer.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n" + body);

  EXPECT_EQ(peer.read_answer().body, body);
  EXPECT_EQ(peer.get("/big").body, std::string(1024 * 1024, 'b'));
}

TEST_F(tls_server, a_shared_document_arrives_whole_at_a_slow_reader) {
  const tls_context context = load("a");
  running_server server({}, &context);
  client peer(server.port(), tls_wishes{});
  peer.send("GET /document HTTP/1.1\r\nHost: a\r\n\r\nGET /document HTTP/1.1\r\nHost: a\r\n\r\n");

  // The socket is full in the middle of a record: OpenSSL is given the same bytes again.
  ASSERT_TRUE(eventually([&] { return server.stats().bytes_out > 0; }));
  const answer first = peer.read_answer();
  const answer second = peer.read_answer();

  const std::string whole = *numbered_document();
  EXPECT_TRUE(first.body == whole);
  EXPECT_TRUE(second.body == whole);
}

TEST_F(tls_server, the_end_of_a_connection_is_announced) {
  const tls_context context = load("a");
  running_server server({}, &context);
  client peer(server.port(), tls_wishes{});

  peer.get("/close");
  char byte = 0;
  const int got = SSL_read(peer.ssl(), &byte, 1);

  EXPECT_EQ(SSL_get_error(peer.ssl(), got), SSL_ERROR_ZERO_RETURN) << "a cut would look like truncation";
}

TEST_F(tls_server, a_ticket_of_one_process_is_accepted_by_another_with_the_same_secret) {
  const std::string secret = folder.write("secret", std::string(32, 's'));
  const tls_context first = load("a", secret);
  const tls_context second = load("b", secret);
  running_server one({}, &first);
  running_server two({}, &second);

  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const session_pointer session = session_of(one, version);
    client returning(two.port(),
                     tls_wishes{.least_version = version, .most_version = version, .session = session.get()});

    EXPECT_EQ(SSL_session_reused(returning.ssl()), 1) << version;
    EXPECT_EQ(returning.get("/hello").status, 200u);
  }
}

TEST_F(tls_server, a_ticket_made_with_another_secret_leads_to_a_full_handshake) {
  const tls_context first = load("a", folder.write("one", std::string(32, '1')));
  const tls_context second = load("b", folder.write("two", std::string(32, '2')));
  running_server one({}, &first);
  running_server two({}, &second);
  const session_pointer session = session_of(one, TLS1_3_VERSION);

  client returning(two.port(), tls_wishes{.session = session.get()});

  EXPECT_TRUE(returning.is_established());
  EXPECT_EQ(SSL_session_reused(returning.ssl()), 0);
}

TEST_F(tls_server, without_a_secret_file_tickets_work_within_the_process) {
  const tls_context context = load("a");
  running_server server({}, &context);
  const session_pointer session = session_of(server, TLS1_3_VERSION);

  client returning(server.port(), tls_wishes{.session = session.get()});

  EXPECT_EQ(SSL_session_reused(returning.ssl()), 1);
}

TEST_F(tls_server, whoever_resumes_can_resume_again) {
  const tls_context context = load("a");
  running_server server({}, &context);

  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    session_pointer session = session_of(server, version);
    for (int i = 0; i < 3; ++i) {
      client returning(
          server.port(),
          tls_wishes{.least_version = version, .most_version = version, .session = session.get()});
      EXPECT_EQ(SSL_session_reused(returning.ssl()), 1) << version << ", time " << i + 1;
      EXPECT_EQ(returning.get("/hello").status, 200u);
      session.reset(SSL_get1_session(returning.ssl()));
    }
  }
}

TEST_F(tls_server, a_new_certificate_serves_new_connections_and_old_ones_go_on) {
  const tls_context first = load("first");
  const tls_context second = load("second");
  running_server server({}, &first);
  client old(server.port(), tls_wishes{});
  old.get("/hello");

  server.on_shard([&] { server.server().use(&second); });
  client fresh(server.port(), tls_wishes{});

  EXPECT_EQ(old.peer_name(), "first");
  EXPECT_EQ(fresh.peer_name(), "second");
  EXPECT_EQ(old.get("/again").status, 200u);
}

TEST_F(tls_server, renegotiation_is_refused) {
  const tls_context context = load("a");
  running_server server({}, &context);
  client older(server.port(), tls_wishes{.most_version = TLS1_2_VERSION});

  SSL_renegotiate(older.ssl());

  EXPECT_NE(SSL_do_handshake(older.ssl()), 1);
}

TEST_F(tls_server, new_traffic_keys_are_taken_over) {
  const tls_context context = load("a");
  running_server server({}, &context);
  client peer(server.port(), tls_wishes{.least_version = TLS1_3_VERSION});
  peer.get("/before");

  ASSERT_EQ(SSL_key_update(peer.ssl(), SSL_KEY_UPDATE_REQUESTED), 1);

  EXPECT_EQ(peer.get("/after").body, "hello /after");
  EXPECT_EQ(peer.get("/again").body, "hello /again");
}

std::string client_hello() {
  by_hand side;
  SSL_do_handshake(side.ssl());
  return side.bytes();
}

void send_in_pieces(client& peer, std::string_view bytes, std::size_t piece) {
  for (std::size_t at = 0; at < bytes.size(); at += piece) peer.send(bytes.substr(at, piece));
}

/// @return false when the server ended the connection instead
bool shake_hands(client& peer, by_hand& side, std::size_t piece) {
  while (SSL_do_handshake(side.ssl()) != 1) {
    send_in_pieces(peer, side.bytes(), piece);
    const std::string got = peer.read_some();
    if (got.empty()) return false;
    side.receive(got);
  }
  return true;
}

/// What the server sends up to the end of this text; less when the connection ends before it.
std::string read_to(client& peer, by_hand& side, std::string_view text) {
  std::string all;
  std::array<char, 4096> room{};
  while (!all.ends_with(text)) {
    const int read = SSL_read(side.ssl(), room.data(), static_cast<int>(room.size()));
    if (read > 0) {
      all.append(room.data(), static_cast<std::size_t>(read));
      continue;
    }
    const std::string got = peer.read_some();
    if (got.empty()) break;
    side.receive(got);
  }
  return all;
}

TEST_F(tls_server, everything_may_come_in_pieces_of_any_size) {
  const tls_context context = load("a");
  running_server server({}, &context);
  for (const std::size_t piece : {std::size_t{1}, std::size_t{4}, std::size_t{5}, std::size_t{100}}) {
    client peer(server.port());
    by_hand side;
    ASSERT_TRUE(shake_hands(peer, side, piece)) << piece;
    constexpr std::string_view request = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
    SSL_write(side.ssl(), request.data(), static_cast<int>(request.size()));
    send_in_pieces(peer, side.bytes(), piece);

    EXPECT_TRUE(read_to(peer, side, "hello /hello").ends_with("hello /hello")) << piece;
  }
}

// OpenSSL keeps errors for the thread, not for the connection: a key that cannot be read, say, leaves one.
TEST_F(tls_server, errors_that_somebody_left_end_no_connection) {
  const tls_context context = load("a");
  running_server server({}, &context);
  client slow(server.port(), tls_wishes{});
  client peer(server.port());
  by_hand side;
  ASSERT_TRUE(shake_hands(peer, side, 1000));
  peer.send(side.bytes());
  // A handshake forgets all errors of its thread.
  ASSERT_TRUE(eventually([&] { return server.stats().handshakes == 2; }));
  server.on_shard([] { ERR_raise(ERR_LIB_USER, ERR_R_INTERNAL_ERROR); });

  constexpr std::string_view request = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
  SSL_write(side.ssl(), request.data(), static_cast<int>(request.size()));
  send_in_pieces(peer, side.bytes(), 5);
  slow.send("GET /document HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return server.stats().bytes_out > 0; }));

  EXPECT_TRUE(read_to(peer, side, "hello /hello").ends_with("hello /hello"));
  EXPECT_TRUE(slow.read_answer().body == *numbered_document());
  EXPECT_NE(server.on_shard([] { return ERR_peek_error(); }), 0u) << "or this test shows nothing";
}

// One event tells of all of it. OpenSSL reads ahead as much as its buffer holds: when that ends where a
// record does, it keeps nothing, and the socket still has the next request.
TEST_F(tls_server, records_that_fill_the_read_buffer_hide_none_behind_them) {
  constexpr std::size_t largest = 16 * 1024;
  constexpr std::size_t body = 16'000;
  const tls_context context = load("a");
  running_server server({}, &context);
  client peer(server.port());
  by_hand side;
  ASSERT_TRUE(shake_hands(peer, side, 1000));
  const auto write = [&](std::string_view record) {
    SSL_write(side.ssl(), record.data(), static_cast<int>(record.size()));
  };
  // Two records, with their 44 bytes of headers and tags 16,674 to 16,733: 16,713 in OpenSSL 3.0.
  for (std::size_t second = 246; second <= 305; ++second) {
    std::string request = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 16000\r\nX-Test: ";
    request += std::string(largest + second - body - request.size() - 4, 'x') + "\r\n\r\n";
    request += std::string(body, 'b');
    write(std::string_view(request).substr(0, largest));
    write(std::string_view(request).substr(largest));
    write("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");

    auto go = server.hold_shard();
    peer.send(side.bytes());
    go.set_value();

    ASSERT_TRUE(read_to(peer, side, "hello /next").ends_with("hello /next")) << second;
  }
}

TEST_F(tls_server, a_first_record_that_ends_half_way_fails_at_once) {
  const tls_context context = load("a");
  running_server server({}, &context);
  const std::string hello = client_hello();
  unsigned failed = 0;
  for (const std::size_t sent : {std::size_t{0}, std::size_t{3}, std::size_t{5}, hello.size() - 1}) {
    client peer(server.port());
    peer.send(hello.substr(0, sent));
    // Seen before its end: what is waited for then is more bytes.
    ASSERT_TRUE(eventually([&] { return server.stats().open == 1; }));
    peer.shutdown_sending();

    EXPECT_TRUE(peer.is_closed_by_server()) << sent;
    EXPECT_TRUE(eventually([&] { return server.stats().handshakes_failed == failed + 1; }));
    ++failed;
  }
  EXPECT_EQ(server.stats().timed_out_handshake, 0u);
}

TEST_F(tls_server, plaintext_on_the_tls_port_is_closed) {
  const tls_context context = load("a");
  running_server server({}, &context);
  client peer(server.port());

  peer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");

  EXPECT_TRUE(peer.is_closed_by_server());
  EXPECT_EQ(server.stats().handshakes_failed, 1u);
}

}  // namespace
}  // namespace pam::net::test

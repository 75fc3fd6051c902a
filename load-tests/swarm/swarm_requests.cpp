// What a user sends.
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "load-tests/swarm/swarm.hpp"
#include "protocol/refresh_token_text.hpp"

namespace pam::load {

std::string swarm::request_of(const swarm_user& of, operation what) const {
  const auto with_token = [&](std::string_view verb, std::string_view path) {
    return fmt::format("{} {}{} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n{}\r\n", verb,
                       plan_.prefix, path, plan_.host, of.access,
                       verb == "POST" ? "Content-Length: 0\r\n" : "");
  };
  const auto for_token = [&](std::string_view grant, const std::string& body) {
    return fmt::format(
        "POST {}/token?grant_type={} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n"
        "{}Content-Length: {}\r\n\r\n{}",
        plan_.prefix, grant, plan_.host,
        of.is_known_device && what == operation::sign_in
            ? fmt::format("X-Pam-Device: {}\r\n", people_.device(of.model.account))
            : "",
        body.size(), body);
  };
  switch (what) {
    case operation::list:
      return with_token("GET", "/sessions");
    case operation::sign_out:
      return with_token("POST", "/logout?scope=local");
    case operation::refresh:
      return for_token("refresh_token",
                       fmt::format(R"({{"refresh_token":"{}"}})",
                                   protocol::encode_refresh_token(crypto::image_of(of.model.token))));
    case operation::sign_in:
      return for_token("password", fmt::format(R"({{"email":"{}","password":"{}"}})", of.model.email,
                                               population::password));
    case operation::connect:
    case operation::read:
    case operation::refused:
      break;
  }
  return with_token("GET", "/user");
}

}  // namespace pam::load

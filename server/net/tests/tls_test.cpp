#include "server/net/tls.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "server/net/tests/test_certificate.hpp"

namespace pam::net::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class tls_files : public ::testing::Test {
 protected:
  std::string failure(const tls_config& settings) {
    const auto loaded = tls_context::load(settings);
    return loaded.has_error() ? loaded.error().message : "loaded";
  }
  temporary_folder folder;
  tls_config good = make_certificate(folder, "good", "good");
};

TEST_F(tls_files, a_good_pair_is_loaded) {
  EXPECT_EQ(failure(good), "loaded");
}

TEST_F(tls_files, a_missing_file_is_named_with_its_key) {
  tls_config settings = good;
  settings.certificate_file = folder.file("absent.crt");

  EXPECT_THAT(failure(settings),
              AllOf(HasSubstr("absent.crt"), HasSubstr("No such file"), HasSubstr("tls.certificate_file")));
  settings = good;
  settings.private_key_file = folder.file("absent.key");
  EXPECT_THAT(failure(settings), AllOf(HasSubstr("absent.key"), HasSubstr("tls.private_key_file")));
  settings.private_key_file = "";
  EXPECT_THAT(failure(settings), HasSubstr("set tls.private_key_file"));
}

TEST_F(tls_files, a_key_of_another_certificate_is_said_to_be_one) {
  tls_config settings = good;
  settings.private_key_file = make_certificate(folder, "other", "other").private_key_file;

  EXPECT_THAT(failure(settings),
              AllOf(HasSubstr("other.key"), HasSubstr("does not belong to"), HasSubstr("good.crt")));
}

TEST_F(tls_files, a_file_that_is_no_pem_is_named) {
  tls_config settings = good;
  settings.certificate_file = folder.write("text.crt", "hello");
  EXPECT_THAT(failure(settings), AllOf(HasSubstr("text.crt"), HasSubstr("PEM")));
  settings = good;
  settings.private_key_file = folder.write("text.key", "hello");
  EXPECT_THAT(failure(settings), AllOf(HasSubstr("text.key"), HasSubstr("PEM")));
}

TEST_F(tls_files, an_expired_or_future_certificate_is_refused) {
  EXPECT_THAT(failure(make_certificate(folder, "old", "old", -7200, -3600)),
              AllOf(HasSubstr("old.crt"), HasSubstr("expired")));
  EXPECT_THAT(failure(make_certificate(folder, "new", "new", 3600, 7200)), HasSubstr("not valid yet"));
}

TEST_F(tls_files, a_short_ticket_secret_is_refused) {
  tls_config settings = good;
  settings.ticket_secret_file = folder.write("secret", std::string(31, 's'));

  EXPECT_THAT(failure(settings), AllOf(HasSubstr("secret"), HasSubstr("32 bytes")));
}

}  // namespace
}  // namespace pam::net::test

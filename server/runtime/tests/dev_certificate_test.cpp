#include "server/runtime/dev_certificate.hpp"

#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <fstream>
#include <sstream>

#include "tests/support/temporary_folder.hpp"

namespace pam::runtime {
namespace {

namespace fs = std::filesystem;

const std::chrono::system_clock::time_point now{std::chrono::seconds{1'795'344'180}};
constexpr std::chrono::hours day{24};

std::string content(const fs::path& file) {
  std::ostringstream text;
  text << std::ifstream{file}.rdbuf();
  return text.str();
}

mode_t mode_of(const fs::path& file) {
  struct stat facts{};
  return stat(file.c_str(), &facts) == 0 ? facts.st_mode & 07777 : 0;
}

class dev_certificate_test : public testing::Test {
 protected:
  dev_certificate ensure(std::chrono::system_clock::time_point when = now) {
    const auto made = ensure_dev_certificate(folder_.path() / "tls", when);
    EXPECT_TRUE(made.has_value());
    return made.has_value() ? *made : dev_certificate{};
  }

  tests::temporary_folder folder_;
};

TEST_F(dev_certificate_test, pair_is_accepted_by_tls_and_verifies_itself_for_localhost) {
  const dev_certificate files = ensure();

  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> tls{SSL_CTX_new(TLS_method()), SSL_CTX_free};
  ASSERT_EQ(SSL_CTX_use_certificate_chain_file(tls.get(), files.certificate.c_str()), 1);
  ASSERT_EQ(SSL_CTX_use_PrivateKey_file(tls.get(), files.private_key.c_str(), SSL_FILETYPE_PEM), 1);
  EXPECT_EQ(SSL_CTX_check_private_key(tls.get()), 1);
  X509* certificate = SSL_CTX_get0_certificate(tls.get());
  EXPECT_EQ(X509_check_host(certificate, "localhost", 0, 0, nullptr), 1);
  EXPECT_EQ(X509_check_ip_asc(certificate, "127.0.0.1", 0), 1);
  EXPECT_EQ(X509_check_ip_asc(certificate, "::1", 0), 1);
  EXPECT_NE(X509_check_host(certificate, "example.com", 0, 0, nullptr), 1);
  EXPECT_EQ(X509_verify(certificate, X509_get0_pubkey(certificate)), 1);
  EXPECT_EQ(X509_check_ca(certificate), 0);
  EXPECT_EQ(EVP_PKEY_get_bits(X509_get0_pubkey(certificate)), 256);
}

TEST_F(dev_certificate_test, client_that_trusts_the_certificate_accepts_the_server) {
  const dev_certificate files = ensure();
  const std::unique_ptr<X509_STORE, decltype(&X509_STORE_free)> store{X509_STORE_new(), X509_STORE_free};
  ASSERT_EQ(X509_STORE_load_file(store.get(), files.certificate.c_str()), 1);
  const std::unique_ptr<BIO, decltype(&BIO_free_all)> source{BIO_new_file(files.certificate.c_str(), "r"),
                                                             BIO_free_all};
  const std::unique_ptr<X509, decltype(&X509_free)> leaf{
      PEM_read_bio_X509(source.get(), nullptr, nullptr, nullptr), X509_free};
  const std::unique_ptr<X509_STORE_CTX, decltype(&X509_STORE_CTX_free)> check{X509_STORE_CTX_new(),
                                                                              X509_STORE_CTX_free};
  ASSERT_EQ(X509_STORE_CTX_init(check.get(), store.get(), leaf.get(), nullptr), 1);
  X509_STORE_CTX_set_default(check.get(), "ssl_server");
  X509_STORE_CTX_set_time(check.get(), 0, std::chrono::system_clock::to_time_t(now));

  EXPECT_EQ(X509_verify_cert(check.get()), 1)
      << X509_verify_cert_error_string(X509_STORE_CTX_get_error(check.get()));
}

TEST_F(dev_certificate_test, only_the_owner_reads_the_key) {
  const dev_certificate files = ensure();

  EXPECT_EQ(mode_of(files.private_key), 0600U);
  EXPECT_EQ(mode_of(files.certificate), 0644U);
}

TEST_F(dev_certificate_test, pair_is_reused_until_thirty_days_before_its_end) {
  const dev_certificate first = ensure();
  const std::string text = content(first.certificate);

  const dev_certificate later = ensure(now + 366 * day);
  const std::string reused = content(later.certificate);
  const dev_certificate last = ensure(now + 368 * day);

  EXPECT_TRUE(first.is_new);
  EXPECT_FALSE(later.is_new);
  EXPECT_EQ(reused, text);
  EXPECT_TRUE(last.is_new);
  EXPECT_NE(content(last.certificate), text);
}

TEST_F(dev_certificate_test, pair_from_the_future_is_made_anew) {
  ensure(now + 10 * day);

  EXPECT_TRUE(ensure(now).is_new);
}

TEST_F(dev_certificate_test, key_that_does_not_fit_is_replaced_with_its_certificate) {
  const dev_certificate files = ensure();
  const tests::temporary_folder other;
  const auto foreign = ensure_dev_certificate(other.path(), now);
  ASSERT_TRUE(foreign.has_value());
  fs::copy_file(foreign->private_key, files.private_key, fs::copy_options::overwrite_existing);

  EXPECT_TRUE(ensure().is_new);
  EXPECT_FALSE(ensure().is_new);
}

TEST_F(dev_certificate_test, damaged_files_are_replaced) {
  const dev_certificate files = ensure();
  std::ofstream{files.certificate} << "no certificate";

  EXPECT_TRUE(ensure().is_new);
}

TEST_F(dev_certificate_test, key_that_others_could_read_is_protected_again) {
  const dev_certificate files = ensure();
  ASSERT_EQ(chmod(files.private_key.c_str(), 0644), 0);

  EXPECT_FALSE(ensure().is_new);
  EXPECT_EQ(mode_of(files.private_key), 0600U);
}

TEST_F(dev_certificate_test, folder_that_cannot_be_made_is_one_sentence) {
  std::ofstream{folder_.path() / "file"} << "x";

  const auto made = ensure_dev_certificate(folder_.path() / "file" / "tls", now);

  ASSERT_TRUE(made.has_error());
  EXPECT_EQ(made.error().sentence,
            "Cannot make the folder " + (folder_.path() / "file" / "tls").string() + ": Not a directory.");
}

}  // namespace
}  // namespace pam::runtime

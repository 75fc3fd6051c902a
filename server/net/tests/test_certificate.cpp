#include "server/net/tests/test_certificate.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <system_error>

namespace pam::net::test {
namespace {

struct release {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(std::FILE* file) const { std::fclose(file); }
};

void require(bool is_fine) {
  if (!is_fine) throw std::runtime_error("the test certificate cannot be made");
}

}  // namespace

temporary_folder::temporary_folder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "pam-net-XXXXXX").string();
  require(::mkdtemp(pattern.data()) != nullptr);
  path_ = pattern;
}

temporary_folder::~temporary_folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string temporary_folder::write(const std::string& name, const std::string& content) const {
  std::ofstream(file(name), std::ios::binary) << content;
  return file(name);
}

tls_config make_certificate(const temporary_folder& folder, const std::string& name,
                            const std::string& common_name, long begins, long ends) {
  const std::unique_ptr<EVP_PKEY, release> key(EVP_EC_gen("P-256"));
  const std::unique_ptr<X509, release> certificate(X509_new());
  require(key && certificate);
  X509_set_version(certificate.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), begins);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), ends);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* const subject = X509_get_subject_name(certificate.get());
  require(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                                     reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1,
                                     0) == 1);
  X509_set_issuer_name(certificate.get(), subject);
  require(X509_sign(certificate.get(), key.get(), EVP_sha256()) > 0);

  tls_config made;
  made.certificate_file = folder.file(name + ".crt");
  made.private_key_file = folder.file(name + ".key");
  const std::unique_ptr<std::FILE, release> certificate_file(std::fopen(made.certificate_file.c_str(), "wb"));
  const std::unique_ptr<std::FILE, release> key_file(std::fopen(made.private_key_file.c_str(), "wb"));
  require(certificate_file && key_file);
  require(PEM_write_X509(certificate_file.get(), certificate.get()) == 1);
  require(PEM_write_PrivateKey(key_file.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return made;
}

}  // namespace pam::net::test

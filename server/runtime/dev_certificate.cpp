#include "server/runtime/dev_certificate.hpp"

#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

namespace pam::runtime {

namespace {

namespace fs = std::filesystem;
using std::chrono::system_clock;

constexpr std::chrono::hours lifetime{397 * 24};
constexpr std::chrono::hours renewal{30 * 24};
constexpr std::chrono::hours clock_tolerance{1};  // not_before lies this far back

template <class T, void (*Free)(T*)>
struct freed_by {
  void operator()(T* owned) const noexcept { Free(owned); }
};
using key_ptr = std::unique_ptr<EVP_PKEY, freed_by<EVP_PKEY, EVP_PKEY_free>>;
using certificate_ptr = std::unique_ptr<X509, freed_by<X509, X509_free>>;
using bio_ptr = std::unique_ptr<BIO, freed_by<BIO, BIO_free_all>>;
using extension_ptr = std::unique_ptr<X509_EXTENSION, freed_by<X509_EXTENSION, X509_EXTENSION_free>>;

template <class T>
using certificate_result = boost::system::result<T, dev_certificate_error>;

dev_certificate_error refuse(const fs::path& file, std::string_view what, int number) {
  return {std::string{what} + " " + file.string() + ": " + std::strerror(number) + "."};
}

bool add_extension(X509* certificate, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  const extension_ptr extension{X509V3_EXT_conf_nid(nullptr, &context, nid, value)};
  return extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool set_random_serial(X509* certificate) {
  // 16 octets, the first positive and not zero (RFC 5280, 4.1.2.2).
  std::array<unsigned char, 16> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) return false;
  bytes[0] = static_cast<unsigned char>((bytes[0] & 0x7F) | 0x40);
  BIGNUM* number = BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr);
  const bool is_set =
      number != nullptr && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != nullptr;
  BN_free(number);
  return is_set;
}

bool set_name(X509* certificate) {
  X509_NAME* name = X509_get_subject_name(certificate);
  const std::array<std::pair<const char*, const char*>, 2> parts{
      {{"O", "PAM Auth development"}, {"CN", "localhost"}}};
  for (const auto& [field, value] : parts) {
    const auto* text = reinterpret_cast<const unsigned char*>(value);
    if (X509_NAME_add_entry_by_txt(name, field, MBSTRING_ASC, text, -1, -1, 0) != 1) return false;
  }
  return X509_set_issuer_name(certificate, name) == 1;
}

certificate_ptr make_certificate(EVP_PKEY* key, system_clock::time_point now) {
  certificate_ptr made{X509_new()};
  X509* const certificate = made.get();
  const bool is_made =
      certificate != nullptr && X509_set_version(certificate, X509_VERSION_3) == 1 &&
      set_random_serial(certificate) &&
      ASN1_TIME_set(X509_getm_notBefore(certificate), system_clock::to_time_t(now - clock_tolerance)) !=
          nullptr &&
      ASN1_TIME_set(X509_getm_notAfter(certificate), system_clock::to_time_t(now + lifetime)) != nullptr &&
      set_name(certificate) && X509_set_pubkey(certificate, key) == 1 &&
      add_extension(certificate, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:::1") &&
      add_extension(certificate, NID_basic_constraints, "critical,CA:FALSE") &&
      add_extension(certificate, NID_key_usage, "critical,digitalSignature") &&
      add_extension(certificate, NID_ext_key_usage, "serverAuth") &&
      add_extension(certificate, NID_subject_key_identifier, "hash") &&
      X509_sign(certificate, key, EVP_sha256()) > 0;
  return is_made ? std::move(made) : nullptr;
}

key_ptr read_key(const fs::path& file) {
  const bio_ptr source{BIO_new_file(file.c_str(), "r")};
  return key_ptr{source ? PEM_read_bio_PrivateKey(source.get(), nullptr, nullptr, nullptr) : nullptr};
}

certificate_ptr read_certificate(const fs::path& file) {
  const bio_ptr source{BIO_new_file(file.c_str(), "r")};
  return certificate_ptr{source ? PEM_read_bio_X509(source.get(), nullptr, nullptr, nullptr) : nullptr};
}

/// Whether the stored pair still serves. Anything unreadable does not.
bool is_usable(const dev_certificate& files, system_clock::time_point now) {
  const key_ptr key = read_key(files.private_key);
  const certificate_ptr certificate = read_certificate(files.certificate);
  ERR_clear_error();
  if (key == nullptr || certificate == nullptr) return false;
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    ERR_clear_error();
    return false;
  }
  std::time_t begin = system_clock::to_time_t(now);
  std::time_t end = system_clock::to_time_t(now + renewal);
  return X509_cmp_time(X509_get0_notBefore(certificate.get()), &begin) < 0 &&
         X509_cmp_time(X509_get0_notAfter(certificate.get()), &end) > 0;
}

std::string_view content_of(BIO* memory) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory, &data);
  return {data, static_cast<std::size_t>(size)};
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t wrote = write(fd, text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(wrote));
  }
  return true;
}

/// Replaces `file` in one step; its mode is right from the first byte on.
certificate_result<void> replace(const fs::path& file, std::string_view text, mode_t mode) {
  fs::path fresh = file;
  fresh += ".new";
  unlink(fresh.c_str());
  const int fd = open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
  if (fd < 0) return refuse(fresh, "Cannot write", errno);
  const bool is_written = fchmod(fd, mode) == 0 && write_all(fd, text);
  const int number = errno;
  close(fd);
  if (!is_written) {
    unlink(fresh.c_str());
    return refuse(fresh, "Cannot write", number);
  }
  if (rename(fresh.c_str(), file.c_str()) != 0) return refuse(file, "Cannot replace", errno);
  return {};
}

/// The key is replaced first: a crash in between leaves a pair that does not fit, which is made anew.
certificate_result<void> write_pair(const dev_certificate& files, system_clock::time_point now) {
  const key_ptr key{EVP_EC_gen("P-256")};
  const certificate_ptr certificate = key ? make_certificate(key.get(), now) : nullptr;
  // Secure memory: the key's text is wiped when the BIO dies.
  const bio_ptr key_text{BIO_new(BIO_s_secmem())};
  const bio_ptr certificate_text{BIO_new(BIO_s_mem())};
  if (certificate == nullptr || key_text == nullptr || certificate_text == nullptr ||
      PEM_write_bio_PKCS8PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1 ||
      PEM_write_bio_X509(certificate_text.get(), certificate.get()) != 1) {
    ERR_clear_error();
    return dev_certificate_error{"OpenSSL could not make a development certificate."};
  }
  auto written = replace(files.private_key, content_of(key_text.get()), 0600);
  if (written.has_error()) return written;
  return replace(files.certificate, content_of(certificate_text.get()), 0644);
}

}  // namespace

void throw_exception_from_error(const dev_certificate_error& failure, const boost::source_location& where) {
  throw std::logic_error(std::string{"unchecked certificate error at "} + where.file_name() + ":" +
                         std::to_string(where.line()) + ": " + failure.sentence);
}

boost::system::result<dev_certificate, dev_certificate_error> ensure_dev_certificate(
    const fs::path& folder, system_clock::time_point now) {
  dev_certificate files{.certificate = folder / "localhost.crt", .private_key = folder / "localhost.key"};
  if (is_usable(files, now)) {
    // A copied folder may have lost the mode.
    if (chmod(files.private_key.c_str(), 0600) != 0)
      return refuse(files.private_key, "Cannot protect", errno);
    return files;
  }
  std::error_code failure;
  fs::create_directories(folder, failure);
  if (failure) return refuse(folder, "Cannot make the folder", failure.value());
  const auto made = write_pair(files, now);
  if (made.has_error()) return made.error();
  files.is_new = true;
  return files;
}

}  // namespace pam::runtime

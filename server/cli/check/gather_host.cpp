#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <memory>

#include <openssl/pem.h>
#include <openssl/x509.h>

#include "server/cli/check/gather.hpp"

namespace pam::cli::check {

namespace {

file_facts look_at(std::string key, const std::string& path) {
  file_facts found{.key = std::move(key), .path = path};
  struct stat about{};
  found.exists = stat(path.c_str(), &about) == 0;
  found.mode = about.st_mode & 07777U;
  found.is_readable = access(path.c_str(), R_OK) == 0;
  return found;
}

certificate_facts read_certificate(const std::string& path) {
  certificate_facts found{.path = path};
  const std::unique_ptr<BIO, decltype(&BIO_free)> file{BIO_new_file(path.c_str(), "r"), &BIO_free};
  const std::unique_ptr<X509, decltype(&X509_free)> first{
      file ? PEM_read_bio_X509(file.get(), nullptr, nullptr, nullptr) : nullptr, &X509_free};
  if (!first) {
    found.problem = file ? "holds no certificate in PEM" : "cannot be read";
    return found;
  }
  int days = 0;
  int seconds = 0;
  // Without a first time ASN1_TIME_diff counts from now.
  if (ASN1_TIME_diff(&days, &seconds, nullptr, X509_get0_notAfter(first.get())) != 1) {
    found.problem = "has no valid end date";
  }
  found.days_left = days + seconds / 86'400.0;
  return found;
}

std::optional<int> kernel_setting(const char* path) {
  std::ifstream file{path};
  int value = 0;
  if (!(file >> value)) return std::nullopt;
  return value;
}

}  // namespace

host_facts gather_host(const runtime::configuration& settings) {
  host_facts found;
  struct rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) found.descriptor_limit = limit.rlim_max;
  found.tcp_migrate_req = kernel_setting("/proc/sys/net/ipv4/tcp_migrate_req");
  const auto add_secret = [&](const char* key, const std::string& path) {
    if (!path.empty()) found.secret_files.push_back(look_at(key, path));
  };
  add_secret("keys.file", settings.keys.file);
  add_secret("tls.private_key_file", settings.tls.private_key_file);
  add_secret("tls.ticket_secret_file", settings.tls.ticket_secret_file);
  add_secret("database.password_file", settings.database_password_file);
  add_secret("migrate.password_file", settings.migrate.password_file);
  if (settings.listen.is_tls && !settings.tls.certificate_file.empty()) {
    found.certificates.push_back(read_certificate(settings.tls.certificate_file));
  }
  return found;
}

}  // namespace pam::cli::check

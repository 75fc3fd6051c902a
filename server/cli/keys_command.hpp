#pragma once

#include <chrono>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "server/crypto/key_ring.hpp"
#include "server/crypto/key_set.hpp"

namespace pam::cli {

/// Where the key-encryption key of a sealed key file comes from; both empty: the file is in the clear.
struct encryption_key {
  std::string file;
  std::string command;  ///< prints the key file on standard output
};

/// `pam-auth keys generate`: writes a fresh JWK Set, mode 0600, to `file`. The file appears complete or
/// not at all: it is written beside its place, flushed to the disk, and then linked there.
///
/// Without `force` an existing file (a dangling link too) stays as it is and the command fails, even when
/// two of them run at once. With `force` it is replaced, and every session under the old keys ends.
/// Prints the file's name, never a key.
int run_keys_generate(const std::string& file, crypto::algorithm signing, bool force, std::ostream& out,
                      std::ostream& err);

/// `pam-auth keys list`: one line a key, no secret.
int run_keys_list(const std::string& file, const encryption_key& under, std::chrono::sys_seconds now,
                  std::ostream& out, std::ostream& err);

/// `pam-auth keys rotate`: adds next keys that begin to sign `how.lead` from now, and replaces the file
/// atomically; a sealed one stays sealed. Says which keys were added and what to do next. Run one at a time.
int run_keys_rotate(const std::string& file, const encryption_key& under, const crypto::rotation& how,
                    std::ostream& out, std::ostream& err);

/// `pam-auth keys prune`: removes keys nothing alive was signed with.
int run_keys_prune(const std::string& file, const encryption_key& under, std::chrono::sys_seconds now,
                   const crypto::retention& keep, std::ostream& out, std::ostream& err);

/// `pam-auth keys seal` and `unseal`: replaces the file by the same keys sealed under the key-encryption
/// key, or in the clear.
int run_keys_seal(const std::string& file, const encryption_key& under, std::ostream& out, std::ostream& err);
int run_keys_unseal(const std::string& file, const encryption_key& under, std::ostream& out,
                    std::ostream& err);

/// `pam-auth keys generate-encryption-key`: a fresh key-encryption key, mode 0600; an existing file stays.
int run_keys_generate_encryption_key(const std::string& file, std::ostream& out, std::ostream& err);

}  // namespace pam::cli

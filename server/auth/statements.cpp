#include "server/auth/statements.hpp"

#include "server/auth/account_repository.hpp"
#include "server/auth/session_repository.hpp"
#include "server/auth/token_cut.hpp"

namespace pam::auth {

std::vector<const db::statement*> statement_catalogue() {
  std::vector<const db::statement*> all;
  for (const auto part :
       {session_repository::statements(), account_repository::statements(), token_cut::statements()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

}  // namespace pam::auth

#include "server/auth/statements.hpp"

#include "server/auth/account_repository.hpp"
#include "server/auth/audit_repository.hpp"
#include "server/auth/report_repository.hpp"
#include "server/auth/session_repository.hpp"
#include "server/auth/token_cut.hpp"
#include "server/auth/upkeep_repository.hpp"

namespace pam::auth {

std::vector<const db::statement*> statement_catalogue() {
  std::vector<const db::statement*> all;
  for (const auto part :
       {session_repository::statements(), account_repository::statements(), audit_repository::statements(),
        report_repository::statements(), token_cut::statements(), upkeep_repository::statements()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

}  // namespace pam::auth

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "server/net/detail/forwarded.hpp"

namespace pam::net::test {
namespace {

using detail::forwarded_header;
using detail::origin;

const networks trusted{{"10.0.0.0/8", "2001:db8:aa::/48"}};
constexpr std::string_view nearest = "10.0.0.1";

origin origin_with(std::string_view name, const std::vector<std::string_view>& values, forwarded_header which,
                   std::string_view from = nearest) {
  std::vector<header_field> fields{{"Host", "a"}};
  for (const std::string_view value : values) fields.push_back({name, value});
  fields.push_back({"Accept", "1.1.1.1"});
  return origin_of(fields, which, trusted, boost::asio::ip::make_address(std::string{from}));
}

struct origin_case {
  std::vector<std::string_view> values;
  std::string_view client;
  bool is_hidden = false;
};

TEST(forwarded, list_is_read_from_its_end_as_far_as_hops_are_trusted) {
  const std::vector<origin_case> cases{
      {{}, nearest},
      {{""}, nearest},
      {{" , ,"}, nearest},
      {{"203.0.113.7"}, "203.0.113.7"},
      {{"203.0.113.7, 10.2.3.4"}, "203.0.113.7"},
      {{"6.6.6.6, 203.0.113.7,10.2.3.4 ,\t10.9.9.9"}, "203.0.113.7"},
      {{"6.6.6.6", "203.0.113.7", "10.2.3.4"}, "203.0.113.7"},
      {{"10.1.1.1, 10.2.2.2"}, "10.1.1.1"},
      {{"203.0.113.7:4711"}, "203.0.113.7"},
      {{"2001:db8::7"}, "2001:db8::7"},
      {{"[2001:db8::7]:4711"}, "2001:db8::7"},
      {{"::ffff:203.0.113.7"}, "203.0.113.7"},
      {{"203.0.113.7, 2001:db8:aa::1"}, "203.0.113.7"},
      {{"203.0.113.7, unknown"}, nearest, true},
      {{"203.0.113.7, unknown, 10.2.2.2"}, "10.2.2.2", true},
      {{"203.0.113.7 6.6.6.6"}, nearest, true},
      {{"203.0.113"}, nearest, true},
      {{"[203.0.113.7]"}, nearest, true},
      {{"[2001:db8::7"}, nearest, true},
      {{std::string_view{"203.0.113.7\0x", 13}}, nearest, true},
      {{"garbage, 203.0.113.7"}, "203.0.113.7"},
  };

  for (const origin_case& each : cases) {
    const origin found = origin_with("x-Forwarded-FOR", each.values, forwarded_header::x_forwarded_for);
    EXPECT_EQ(found.client.to_string(), each.client) << testing::PrintToString(each.values);
    EXPECT_EQ(found.is_hidden, each.is_hidden) << testing::PrintToString(each.values);
  }
}

TEST(forwarded, elements_are_read_as_RFC_7239_writes_them) {
  const std::vector<origin_case> cases{
      {{"for=203.0.113.7"}, "203.0.113.7"},
      {{"For=203.0.113.7;proto=https;by=10.0.0.9"}, "203.0.113.7"},
      {{"proto=https; FOR=\"203.0.113.7:47011\""}, "203.0.113.7"},
      {{"for=\"[2001:db8::7]:47011\""}, "2001:db8::7"},
      {{"for=\"[2001:db8::7]\";host=\"a,b;c=\\\"d\""}, "2001:db8::7"},
      {{"for=\"203.0.\\113.7\""}, "203.0.113.7"},
      {{"for=6.6.6.6, for=203.0.113.7, for=10.2.2.2"}, "203.0.113.7"},
      {{"for=6.6.6.6,for=203.0.113.7", "for=10.2.2.2"}, "203.0.113.7"},
      {{"for=203.0.113.7;;, ,"}, "203.0.113.7"},
      {{"for=203.0.113.7, proto=https"}, nearest, true},
      {{"for=203.0.113.7, for=_hidden"}, nearest, true},
      {{"for=203.0.113.7, for=unknown"}, nearest, true},
      {{"for=203.0.113.7, for=\"_mine:_port\", for=10.2.2.2"}, "10.2.2.2", true},
      {{"for=2001:db8::7"}, "2001:db8::7"},
      {{"203.0.113.7"}, nearest, true},
      {{"for = 203.0.113.7"}, nearest, true},
      {{"for=203.0.113.7;for=6.6.6.6"}, nearest, true},
      {{"for=203.0.113.7 6"}, nearest, true},
  };

  for (const origin_case& each : cases) {
    const origin found = origin_with("Forwarded", each.values, forwarded_header::forwarded);
    EXPECT_EQ(found.client.to_string(), each.client) << testing::PrintToString(each.values);
    EXPECT_EQ(found.is_hidden, each.is_hidden) << testing::PrintToString(each.values);
  }
}

TEST(forwarded, a_quote_the_client_left_open_never_gives_it_an_address_of_its_choice) {
  for (const std::string_view begun :
       {"for=6.6.6.6;x=\"", "for=6.6.6.6, x=\"", "for=\"6.6.6.6", "\"", "x=\"\\"}) {
    for (const std::string_view added :
         {", for=203.0.113.7", ", for=\"[2001:db8::7]\"", ", for=203.0.113.7;host=\"a\";proto=https"}) {
      const std::string value = std::string{begun} + std::string{added};
      const origin found = origin_with("Forwarded", {value}, forwarded_header::forwarded);

      EXPECT_EQ(found.client.to_string(), nearest) << value;
      EXPECT_TRUE(found.is_hidden) << value;
    }
  }
}

TEST(forwarded, nothing_is_read_from_strangers_nor_when_it_is_off_nor_in_another_field) {
  using enum forwarded_header;
  EXPECT_EQ(origin_with("X-Forwarded-For", {"6.6.6.6"}, x_forwarded_for, "203.0.113.9").client.to_string(),
            "203.0.113.9");
  EXPECT_EQ(origin_with("X-Forwarded-For", {"6.6.6.6"}, x_forwarded_for, "127.0.0.1").client.to_string(),
            "127.0.0.1");
  EXPECT_EQ(origin_with("X-Forwarded-For", {"6.6.6.6"}, off).client.to_string(), nearest);
  EXPECT_EQ(origin_with("X-Forwarded-For", {"6.6.6.6"}, forwarded).client.to_string(), nearest);
  EXPECT_EQ(origin_with("Forwarded", {"for=6.6.6.6"}, x_forwarded_for).client.to_string(), nearest);
  EXPECT_EQ(
      origin_with("X-Forwarded-For", {"6.6.6.6"}, x_forwarded_for, "::ffff:10.0.0.1").client.to_string(),
      "6.6.6.6");
}

}  // namespace
}  // namespace pam::net::test

#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace pam::async {

/// The project's one completion token: errors come back as the first tuple element, never as exceptions.
inline constexpr auto tuple_await = boost::asio::as_tuple(boost::asio::use_awaitable);

}  // namespace pam::async

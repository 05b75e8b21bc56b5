// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "async-client",
  platforms: [.macOS(.v26)],
  dependencies: [.package(url: "https://github.com/swift-server/async-http-client", from: "1.30.0")],
  targets: [
    .executableTarget(
      name: "async-client",
      dependencies: [.product(name: "AsyncHTTPClient", package: "async-http-client")])
  ])

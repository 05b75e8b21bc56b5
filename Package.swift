// swift-tools-version: 6.2
import PackageDescription

// Swift 6 mode, strict memory safety, warnings are errors: in every target of ours.
let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  // Spans returned from properties (Bytes.span).
  .enableExperimentalFeature("Lifetimes"),
]
// scripts/check-llama-vocabs: tests on files that are not in this repository.
let vocabularies: [SwiftSetting] =
  Context.environment["INGOT_LLAMA_VOCABS"] == nil ? [] : [.define("LLAMA_VOCABS")]
let apple: [Platform] = [.macOS]
let others: [Platform] = [.linux]
let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
  name: "Ingot",
  platforms: [.macOS(.v26)],
  products: [
    .executable(name: "ingot", targets: ["ingot"]),
    .library(
      name: "Ingot",
      targets: ["Kernels", "Tensors", "Models", "Formats", "Quantization", "Inference", "Fitting", "Reports"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
  ],
  targets: [
    .target(
      name: "CKernels",
      cSettings: [.treatAllWarnings(as: .error)]),
    .target(
      name: "CSystem",
      cSettings: [.treatAllWarnings(as: .error)]),
    .systemLibrary(
      name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
    .systemLibrary(
      name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"]), .brew(["zstd"])]),
    .target(
      name: "Kernels",
      dependencies: [
        "CKernels", .target(name: "COpenBLAS", condition: .when(platforms: others)),
      ],
      swiftSettings: strict,
      linkerSettings: [.linkedFramework("Accelerate", .when(platforms: apple))]),
    .target(name: "Tensors", dependencies: ["Kernels", "CSystem"], swiftSettings: strict),
    .target(name: "Models", dependencies: ["Tensors"], swiftSettings: strict),
    .target(name: "Formats", dependencies: ["Models", "CZstd"], swiftSettings: strict),
    .target(
      name: "Quantization",
      dependencies: ["Models", .product(name: "Yams", package: "Yams")], swiftSettings: strict),
    .target(name: "Inference", dependencies: ["Models"], swiftSettings: strict),
    .target(
      name: "Fitting",
      dependencies: ["Models", "Quantization", .product(name: "Yams", package: "Yams")],
      resources: [.embedInCode("machines.yaml")], swiftSettings: strict),
    .target(
      name: "Reports",
      dependencies: ["Models"],
      resources: [.embedInCode("page.css"), .embedInCode("page.js")], swiftSettings: strict),
    .executableTarget(
      name: "ingot",
      dependencies: [
        "Formats", "Quantization", "Inference", "Fitting", "Reports", argumentParser,
        .product(name: "Yams", package: "Yams"),
      ],
      swiftSettings: strict),
    .executableTarget(
      name: "ingot-bench",
      dependencies: ["CKernels", .target(name: "COpenBLAS", condition: .when(platforms: others))],
      cSettings: [.treatAllWarnings(as: .error)],
      linkerSettings: [.linkedLibrary("m", .when(platforms: others))]),
    .testTarget(name: "KernelsTests", dependencies: ["Kernels"], swiftSettings: strict),
    .testTarget(name: "TensorsTests", dependencies: ["Tensors"], swiftSettings: strict),
    .testTarget(name: "ModelsTests", dependencies: ["Models", "Formats"], swiftSettings: strict),
    .testTarget(
      name: "FormatsTests", dependencies: ["Formats", "Quantization"], swiftSettings: strict + vocabularies),
    .testTarget(
      name: "QuantizationTests", dependencies: ["Formats", "Quantization"], swiftSettings: strict),
    .testTarget(
      name: "InferenceTests", dependencies: ["Formats", "Quantization", "Inference"],
      swiftSettings: strict),
    .testTarget(
      name: "FittingTests", dependencies: ["Formats", "Fitting", "Quantization"], swiftSettings: strict),
    .testTarget(name: "ReportsTests", dependencies: ["Reports"], swiftSettings: strict),
    .testTarget(
      name: "CommandTests", dependencies: ["Tensors", "ingot"], exclude: ["Snapshots"], swiftSettings: strict),
  ]
)

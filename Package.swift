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
// scripts/tools check-llama-vocabs: tests on files that are not in this repository.
let vocabularies: [SwiftSetting] =
  Context.environment["INGOT_LLAMA_VOCABS"] == nil ? [] : [.define("LLAMA_VOCABS")]
// Suites that call the library and the command and compute little themselves: optimizing them takes longer than it saves.
let quickly: [SwiftSetting] = strict + [.unsafeFlags(["-Onone"])]
let apple: [Platform] = [.macOS]
let others: [Platform] = [.linux]
// The machine's BLAS, which nothing here needs, to hold our products against in tests and in ingot-bench.
let withBLAS = Context.environment["INGOT_BLAS"] != nil
let blas: [Target.Dependency] =
  withBLAS ? [.target(name: "COpenBLAS", condition: .when(platforms: others))] : []
let blasLinking: [LinkerSetting] = withBLAS ? [.linkedFramework("Accelerate", .when(platforms: apple))] : []
// Without the server of 'ingot serve', whose packages are a third of what a clean build compiles.
let withServer = Context.environment["INGOT_WITHOUT_SERVER"] == nil
let hummingbird: [Package.Dependency] =
  // None of the traits that bring more packages.
  withServer
  ? [.package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: [])] : []
let httpServer: [Target.Dependency] =
  withServer ? [.product(name: "HummingbirdCore", package: "hummingbird")] : []
let yams = Target.Dependency.product(name: "Yams", package: "Yams")
let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
  name: "Ingot",
  platforms: [.macOS(.v26)],
  products: [
    .executable(name: "ingot", targets: ["IngotCommand"]),
    .library(
      name: "Ingot",
      targets: [
        "Ingot", "IngotKernels", "IngotSystem", "IngotTensors", "IngotTokenizer", "IngotTemplates",
        "IngotModels", "IngotFormats", "IngotQuantization", "IngotInference", "IngotPlanning",
        "IngotReports", "IngotHub", "IngotToolCalls", "IngotWorkflows", "IngotServing",
      ]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
  ] + hummingbird,
  targets: [
    .target(
      name: "CIngotKernels",
      cSettings: [.treatAllWarnings(as: .error)]),
    .target(
      name: "CIngotSystem",
      cSettings: [.treatAllWarnings(as: .error)]),
    .target(
      name: "CIngotHub", cSettings: [.treatAllWarnings(as: .error)],
      linkerSettings: [.linkedLibrary("dl", .when(platforms: others))]),
    .target(name: "CIngotTexts", cSettings: [.treatAllWarnings(as: .error)]),
    .systemLibrary(
      name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"]), .brew(["zstd"])]),
    .target(name: "IngotKernels", dependencies: ["CIngotKernels"], swiftSettings: strict),
    .target(name: "IngotSystem", dependencies: ["IngotKernels", "CIngotSystem"], swiftSettings: strict),
    .target(name: "IngotTensors", dependencies: ["IngotKernels", "IngotSystem"], swiftSettings: strict),
    .target(name: "IngotTokenizer", dependencies: ["IngotSystem"], swiftSettings: strict),
    .target(name: "IngotTemplates", dependencies: ["IngotSystem"], swiftSettings: strict),
    .target(name: "IngotModels", dependencies: ["IngotTensors"], swiftSettings: strict),
    .target(
      name: "IngotFormats", dependencies: ["IngotModels", "IngotTokenizer", "CZstd"], swiftSettings: strict),
    .target(name: "IngotQuantization", dependencies: ["IngotModels", yams], swiftSettings: strict),
    .target(name: "IngotInference", dependencies: ["IngotModels", "IngotTokenizer"], swiftSettings: strict),
    .target(
      name: "IngotPlanning",
      dependencies: ["IngotModels", "IngotQuantization", yams],
      resources: [.embedInCode("machines.yaml")], swiftSettings: strict),
    .target(
      name: "IngotReports",
      dependencies: ["IngotModels", "IngotInference", "IngotPlanning"],
      resources: [.embedInCode("page.css"), .embedInCode("page.js")], swiftSettings: strict),
    .target(name: "IngotHub", dependencies: ["IngotFormats", "CIngotHub"], swiftSettings: strict),
    .target(name: "IngotToolCalls", dependencies: ["IngotSystem"], swiftSettings: strict),
    .target(
      name: "IngotWorkflows",
      dependencies: [
        "IngotFormats", "IngotQuantization", "IngotInference", "IngotPlanning", "IngotReports",
        "IngotTokenizer", "IngotTemplates", "CIngotTexts",
      ],
      swiftSettings: strict),
    .target(
      name: "IngotServing", dependencies: ["IngotInference", "IngotToolCalls", "IngotWorkflows"],
      swiftSettings: strict),
    .target(
      name: "Ingot",
      dependencies: [
        "IngotKernels", "IngotSystem", "IngotTensors", "IngotTokenizer", "IngotTemplates", "IngotModels",
        "IngotFormats", "IngotQuantization", "IngotInference", "IngotPlanning", "IngotReports", "IngotHub",
        "IngotToolCalls",
        "IngotWorkflows", "IngotServing",
      ],
      swiftSettings: strict),
    .executableTarget(
      name: "IngotCommand",
      dependencies: [
        "IngotWorkflows", "IngotServing", "IngotHub", argumentParser,
      ] + httpServer,
      exclude: withServer ? [] : ["Serving/HTTPListener.swift"],
      swiftSettings: strict + (withServer ? [] : [.define("WITHOUT_SERVER")])),
    .executableTarget(
      name: "ingot-bench",
      dependencies: ["CIngotKernels"] + blas,
      cSettings: [.treatAllWarnings(as: .error)] + (withBLAS ? [.define("INGOT_BLAS")] : []),
      linkerSettings: [.linkedLibrary("m", .when(platforms: others))] + blasLinking),
    .executableTarget(
      name: "render-templates", dependencies: ["IngotSystem", "IngotTemplates"], swiftSettings: strict),
    .testTarget(
      name: "KernelsTests", dependencies: ["IngotKernels"] + blas,
      swiftSettings: strict + (withBLAS ? [.define("INGOT_BLAS")] : [])),
    .testTarget(name: "TensorsTests", dependencies: ["IngotTensors"], swiftSettings: strict),
    .testTarget(
      name: "TemplatesTests", dependencies: ["IngotSystem", "IngotTemplates"], swiftSettings: quickly),
    .testTarget(
      name: "ModelsTests", dependencies: ["IngotModels", "IngotTokenizer", "IngotFormats"],
      swiftSettings: strict),
    .testTarget(
      name: "FormatsTests", dependencies: ["IngotFormats", "IngotQuantization"],
      swiftSettings: quickly + vocabularies),
    .testTarget(
      name: "QuantizationTests", dependencies: ["IngotFormats", "IngotQuantization"], swiftSettings: strict),
    .testTarget(
      name: "InferenceTests", dependencies: ["IngotFormats", "IngotQuantization", "IngotInference"],
      swiftSettings: strict),
    .testTarget(
      name: "PlanningTests", dependencies: ["IngotFormats", "IngotPlanning", "IngotQuantization"],
      swiftSettings: quickly),
    .testTarget(
      name: "ServingTests",
      dependencies: ["IngotFormats", "IngotServing", "IngotToolCalls", "IngotWorkflows"],
      exclude: ["tools.jinja"],
      swiftSettings: quickly),
    .testTarget(name: "ReportsTests", dependencies: ["IngotReports"], swiftSettings: quickly),
    .testTarget(
      name: "CommandTests", dependencies: ["IngotTensors", "IngotWorkflows", "IngotHub", "IngotCommand"],
      exclude: ["Snapshots"],
      swiftSettings: quickly),
  ]
    + (withBLAS
      ? [
        .systemLibrary(
          name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])])
      ] : [])
)

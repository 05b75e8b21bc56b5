/// Everything a program needs to read, quantize, write and verify models: `import Ingot`.
@_exported import IngotFormats
@_exported import IngotHub
@_exported import IngotInference
@_exported import IngotKernels
@_exported import IngotModels
@_exported import IngotPlanning
@_exported import IngotQuantization
@_exported import IngotReports
@_exported import IngotServing
@_exported import IngotSystem
@_exported import IngotTemplates
@_exported import IngotTensors
@_exported import IngotTokenizer
@_exported import IngotToolCalls
@_exported import IngotWorkflows

import IngotFormats
import IngotModels
import IngotSystem

extension Model {
  /// Looks for zeros where a download of the model's files broke off, before hours are spent on them.
  ///
  /// - Throws: FormatError naming file and tensor for what cannot be meant; tensors that are all zero are warnings.
  func requireWholeFiles(_ control: RunControl) async throws(FormatError) {
    let runs = await ZeroRuns.find(in: weightFiles, exhaustive: false, workers: control.workers)
    if let fault = runs.first(where: \.isFault) { throw fault.error }
    for run in runs.prefix(5) { control.warning(run.warning) }
    if runs.count > 5 { control.warning("\(runs.count - 5) more runs of zeros; 'check' lists all") }
  }
}

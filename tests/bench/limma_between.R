# Steps between arrays in one process, one per line read: prints the CPU seconds of each, and writes what came out.
# usage: Rscript --vanilla limma_between.R MATRIX.bin SPOTS ARRAYS FOLDER      lines: quantile fast pairs
given <- commandArgs(TRUE)
suppressMessages(library(limma))
spots <- as.integer(given[2])
x <- matrix(readBin(given[1], "double", spots * as.integer(given[3])), spots)
few <- x[, seq_len(min(ncol(x), 8))]
steps <- list(
  quantile = function() normalizeQuantiles(x, ties = TRUE),
  fast = function() normalizeCyclicLoess(few, method = "fast"),
  pairs = function() normalizeCyclicLoess(few[, seq_len(min(ncol(few), 4))], method = "pairs"))
input <- file("stdin", "r")
cat("ready\n")
while (length(step <- readLines(input, 1))) {
  used <- system.time(done <- steps[[step]](), gcFirst = TRUE)
  out <- file(file.path(given[4], paste0(step, ".bin")), "wb")
  writeBin(as.vector(done), out)
  close(out)
  cat(sprintf("%.6f\n", used[["user.self"]] + used[["sys.self"]]))
  flush(stdout())
}

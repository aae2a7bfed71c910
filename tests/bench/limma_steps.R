# Steps of limma's main job in one process, one per line read: prints the CPU and wall seconds of each.
# usage: Rscript --vanilla limma_steps.R FILE.gpr OUT.tsv      lines: read normexp kooperberg loess weighted spline write
given <- commandArgs(TRUE)
suppressMessages(library(limma))
weights <- wtflags(weight = 0, cutoff = 0)
read <- function(...) read.maimages(given[1], source = "genepix", verbose = FALSE, ...)
plain <- read()
titles <- c(outer(c("F", "B"), c("635 SD", "532 SD"), paste0), "B635 Mean", "B532 Mean", "F Pixels", "B Pixels")
spread <- function() read(other.columns = titles)
marked <- backgroundCorrect(read(wt.fun = weights), method = "subtract", verbose = FALSE)
subtracted <- backgroundCorrect(plain, method = "subtract", verbose = FALSE)
done <- normalizeWithinArrays(subtracted, method = "printtiploess")
steps <- list(
  read = function() read(),
  normexp = function() backgroundCorrect(plain, method = "normexp", offset = 50, verbose = FALSE),
  kooperberg = function() kooperberg(spread(), a = TRUE, layout = getLayout(plain$genes)),
  loess = function() normalizeWithinArrays(subtracted, method = "printtiploess"),
  weighted = function() normalizeWithinArrays(marked, method = "printtiploess"),
  spline = function() normalizeWithinArrays(subtracted, method = "robustspline"),
  write = function() write.table(cbind(done$genes, done$M, done$A), given[2], sep = "\t", quote = FALSE, row.names = FALSE))
input <- file("stdin", "r")
cat("ready\n")
while (length(step <- readLines(input, 1))) {
  used <- system.time(for (i in 1:3) steps[[step]](), gcFirst = TRUE)
  cat(sprintf("%.6f %.6f\n", (used[["user.self"]] + used[["sys.self"]]) / 3, used[["elapsed"]] / 3))
  flush(stdout())
}

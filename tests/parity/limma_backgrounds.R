# limma's kooperberg and nec on tables that a test writes.
# usage: Rscript --vanilla limma_backgrounds.R kooperberg IN OUT NGRID.R NGRID.C NSPOT.R NSPOT.C    (0 0 0 0: a=FALSE)
#        Rscript --vanilla limma_backgrounds.R nec IN OUT yes|no                                     (robust)
# limma is run, not copied. 17 significant digits; "NA" is missing.
suppressMessages(library(limma))
given <- commandArgs(TRUE)
table <- read.delim(given[2], check.names = FALSE)
if (given[1] == "kooperberg") {
  size <- as.integer(given[4:7])
  layout <- list(ngrid.r = size[1], ngrid.c = size[2], nspot.r = size[3], nspot.c = size[4])
  other <- c("F635 SD", "B635 SD", "F532 SD", "B532 SD", "B532 Mean", "B635 Mean", "F Pixels", "B Pixels")
  arrays <- new("RGList", list(R = as.matrix(table["R"]), G = as.matrix(table["G"]), Rb = as.matrix(table["Rb"]),
    Gb = as.matrix(table["Gb"]), other = sapply(other, function(title) as.matrix(table[title]), simplify = FALSE),
    printer = layout))
  invisible(capture.output(done <- kooperberg(arrays, a = all(size > 0), layout = layout)))
  out <- cbind(R = done$R[, 1], G = done$G[, 1])
} else {
  names <- setdiff(colnames(table), "status")
  out <- nec(as.matrix(table[names]), status = table$status, robust = given[4] == "yes")
}
write.table(apply(out, 2, function(x) ifelse(is.na(x), "NA", sprintf("%.17g", x))), given[3], sep = "\t",
  quote = FALSE, row.names = FALSE)

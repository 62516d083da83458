#!/bin/sh
# A regression task to try sweeps of other programs with: 2,000 rows of Friedman's first function (10 features, 5 of which matter, noise of variance 1) in
# LibSVM's format. The same rows with any awk. usage: friedman.sh >data/friedman.libsvm
# J. H. Friedman, Multivariate Adaptive Regression Splines, The Annals of Statistics 19 (1991), section 4.3.
exec awk '
function uniform() { # Park and Miller 1988
    state = state * 16807 % 2147483647
    return state / 2147483647
}
BEGIN {
    state = 42
    pi = 3.14159265358979
    for (row = 0; row < 2000; row++) {
        for (j = 1; j <= 10; j++)
            x[j] = uniform()
        noise = sqrt(-2 * log(uniform())) * cos(2 * pi * uniform())
        printf "%.6f", 10 * sin(pi * x[1] * x[2]) + 20 * (x[3] - 0.5) ^ 2 + 10 * x[4] + 5 * x[5] + noise
        for (j = 1; j <= 10; j++)
            printf " %d:%.6f", j, x[j]
        print ""
    }
}'

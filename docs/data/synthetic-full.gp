# Draws synthetic-full.png from synthetic-full-epochs.csv: gnuplot synthetic-full.gp in this folder.
set terminal pngcairo size 1000,420 font 'sans,11'
set output 'synthetic-full.png'
set datafile separator ','
rows(name) = sprintf("< awk -F, '$2 == \"%s\"' synthetic-full-epochs.csv", name)
set multiplot layout 1,2
set xlabel 'epoch'
set grid lc rgb '#dddddd'
set key at graph 0.98, 0.44
set ylabel 'IoU'
set yrange [0:0.85]
plot rows('optimized') using 4:10 with lines lw 2 lc rgb '#0072B2' title 'optimized, validation', \
     rows('optimized') using 4:7 with lines lw 1 dt 2 lc rgb '#0072B2' title 'optimized, training', \
     rows('optimized-slower') using 4:10 with lines lw 2 lc rgb '#009E73' title 'optimized-slower, validation (stopped)', \
     rows('baseline') using 4:10 with lines lw 2 lc rgb '#D55E00' title 'baseline, validation', \
     rows('baseline') using 4:7 with lines lw 1 dt 2 lc rgb '#D55E00' title 'baseline, training'
set ylabel 'training loss (focal)'
set yrange [0:0.085]
set key top right
plot rows('optimized') using 4:6 with lines lw 2 lc rgb '#0072B2' title 'optimized', \
     rows('optimized-slower') using 4:6 with lines lw 2 lc rgb '#009E73' title 'optimized-slower', \
     rows('baseline') using 4:6 with lines lw 2 lc rgb '#D55E00' title 'baseline'

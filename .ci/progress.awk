# Turns what pip says into a line for every 25 packages and one for each stage. By itself pip is silent for minutes,
# or prints the address of the registry with every package.
/^Collecting / && ++fetched % 25 == 0 { print "  " fetched " of about " all " packages fetched"; fflush() }
/^Installing collected packages/ { print "  installing " fetched " packages"; fflush() }
/^Successfully installed / { print "  installed"; fflush() }

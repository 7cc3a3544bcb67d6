from sdewm.cli import main

main()

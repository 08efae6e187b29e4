"""`python -m rnn_deploy` is `rnn-deploy`."""

from rnn_deploy.cli import main

if __name__ == "__main__":
    main()

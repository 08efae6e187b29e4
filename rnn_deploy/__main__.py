"""`python -m rnn_deploy` is `rnn-deploy`."""

from rnn_deploy.entry import main

if __name__ == "__main__":
    main()
